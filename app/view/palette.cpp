#include "view/palette.h"

#include <cmath>

namespace convscope {
namespace {

constexpr Rgb from_hex(std::uint32_t hex) {
  return {static_cast<float>(hex >> 16U & 255U) / 255.0F, static_cast<float>(hex >> 8U & 255U) / 255.0F,
          static_cast<float>(hex & 255U) / 255.0F};
}

double linear_light(float part) { return part <= 0.04045F ? part / 12.92 : std::pow((part + 0.055) / 1.055, 2.4); }

}  // namespace

Rgb colour_of(Subject subject, bool dark) {
  switch (subject) {
    case Subject::exact:
      return dark ? from_hex(0xd0d3da) : from_hex(0x000000);
    case Subject::conv:
      return from_hex(0xe69f00);
    case Subject::conv_full:
      return from_hex(0x0072b2);
    case Subject::rank:
      return from_hex(0x009e73);
    case Subject::residual:
      return from_hex(0xd55e00);
    case Subject::gpu:
      return from_hex(0xcc79a7);
    case Subject::estimate:
      return from_hex(0x56b4e9);
  }
  return {};
}

double luminance(Rgb colour) {
  return 0.2126 * linear_light(colour.r) + 0.7152 * linear_light(colour.g) + 0.0722 * linear_light(colour.b);
}

}  // namespace convscope
