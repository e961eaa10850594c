#include "view/colour_map.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace convscope {
namespace {

using Anchors = std::span<const std::uint32_t>;

// Sixteen evenly spaced colours of viridis and magma (Smith and van der Walt, 2015), thirteen of cividis (Nunez, Anderton and
// Renslow, 2018), eleven of RdBu reversed (ColorBrewer, Brewer and Harrower), each as published; the table between them is ours.
constexpr std::uint32_t viridis[] = {0x440154, 0x481a6c, 0x472f7d, 0x414487, 0x39568c, 0x31688e, 0x2a788e, 0x23888e,
                                     0x1f988b, 0x22a884, 0x35b779, 0x54c568, 0x7ad151, 0xa5db36, 0xd2e21b, 0xfde725};
constexpr std::uint32_t cividis[] = {0x00224e, 0x003170, 0x2a3f6d, 0x434e6c, 0x575d6d, 0x6a6c71, 0x7d7c78,
                                     0x918b78, 0xa59c74, 0xbbad6d, 0xd1bf61, 0xe9d34e, 0xfee838};
constexpr std::uint32_t magma[] = {0x000004, 0x0b0924, 0x20114b, 0x3b0f70, 0x57157e, 0x721f81, 0x8c2981, 0xa8327d,
                                   0xc43c75, 0xde4968, 0xf1605d, 0xfa7f5e, 0xfe9f6d, 0xfebf84, 0xfddea0, 0xfcfdbf};
// The ends stay off pure black and white, so that the map is told from the window and from masked cells.
constexpr std::uint32_t grey[] = {0x0c0c0c, 0xf6f6f6};
constexpr std::uint32_t diverging[] = {0x053061, 0x2166ac, 0x4393c3, 0x92c5de, 0xd1e5f0, 0xf7f7f7,
                                       0xfddbc7, 0xf4a582, 0xd6604d, 0xb2182b, 0x67001f};

Anchors anchors_of(ColourMap map) {
  switch (map) {
    case ColourMap::viridis:
      return viridis;
    case ColourMap::cividis:
      return cividis;
    case ColourMap::magma:
      return magma;
    case ColourMap::grey:
      return grey;
    case ColourMap::diverging:
      return diverging;
  }
  return grey;
}

Rgb mix(std::uint32_t low, std::uint32_t high, float t) {
  const auto part = [&](unsigned shift) {
    const auto a = static_cast<float>(low >> shift & 255U);
    const auto b = static_cast<float>(high >> shift & 255U);
    return (a + t * (b - a)) / 255.0F;
  };
  return {part(16), part(8), part(0)};
}

}  // namespace

std::string_view name_of(ColourMap map) {
  switch (map) {
    case ColourMap::viridis:
      return "viridis";
    case ColourMap::cividis:
      return "cividis";
    case ColourMap::magma:
      return "magma";
    case ColourMap::grey:
      return "grey";
    case ColourMap::diverging:
      return "diverging";
  }
  return "";
}

ColourTable colour_table(ColourMap map) {
  const Anchors anchors = anchors_of(map);
  ColourTable table;
  for (std::size_t i = 0; i < table.size(); ++i) {
    const float place = static_cast<float>(i) / 255.0F * static_cast<float>(anchors.size() - 1);
    const std::size_t left = std::min(static_cast<std::size_t>(place), anchors.size() - 2);
    table[i] = mix(anchors[left], anchors[left + 1], place - static_cast<float>(left));
  }
  return table;
}

Rgb colour_at(const ColourTable& table, double position) {
  if (!(position > 0.0)) return table.front();
  return table[static_cast<std::size_t>(std::lround(std::min(position, 1.0) * 255.0))];
}

}  // namespace convscope
