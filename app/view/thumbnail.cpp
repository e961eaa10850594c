#include "view/thumbnail.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace convscope {

namespace {

constexpr std::size_t largest_texture = 4096;

std::array<std::uint8_t, 4> bytes_of(Rgb colour) {
  const auto byte = [](float part) { return static_cast<std::uint8_t>(std::lround(std::clamp(part, 0.0F, 1.0F) * 255.0F)); };
  return {byte(colour.r), byte(colour.g), byte(colour.b), 255};
}

/// The mean of a factor x factor square that is not NaN; NaN when all of it is.
double mean_of(std::span<const float> values, int width, int row, int column, int factor) {
  double sum = 0.0;
  int count = 0;
  for (int a = 0; a < factor; ++a) {
    for (int b = 0; b < factor; ++b) {
      const float value = values[static_cast<std::size_t>((row * factor + a) * width + column * factor + b)];
      if (std::isnan(value)) continue;
      sum += static_cast<double>(value);
      ++count;
    }
  }
  return count == 0 ? std::nan("") : sum / count;
}

}  // namespace

ColourScale thumbnail_scale(std::ptrdiff_t n) {
  const auto tokens = static_cast<double>(std::max<std::ptrdiff_t>(n, 1));
  return {ScaleKind::log, {0.1 / tokens, std::min(1.0, 64.0 / tokens)}};
}

std::vector<std::uint8_t> coloured_thumbnail(std::span<const float> values, int side, const ColourScale& scale,
                                             const ColourTable& table, Rgb masked) {
  const int width = static_cast<int>(std::lround(std::sqrt(static_cast<double>(values.size()))));
  const int factor = width / side;
  const auto masked_bytes = bytes_of(masked);
  std::array<std::array<std::uint8_t, 4>, 256> colours{};
  std::ranges::transform(table, colours.begin(), bytes_of);
  std::vector<std::uint8_t> pixels;
  pixels.reserve(static_cast<std::size_t>(side * side) * 4);
  for (int row = 0; row < side; ++row) {
    for (int column = 0; column < side; ++column) {
      const double value = mean_of(values, width, row, column, factor);
      const double position = std::clamp(scale.position(value), 0.0, 1.0);
      const auto& bytes = std::isnan(value) ? masked_bytes : colours[static_cast<std::size_t>(std::lround(255.0 * position))];
      pixels.insert(pixels.end(), bytes.begin(), bytes.end());
    }
  }
  return pixels;
}

int thumbnail_side_for(std::size_t count) {
  const auto across = static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  for (std::size_t side = 64; side >= 8; side /= 2) {
    if (across * side <= largest_texture) return static_cast<int>(side);
  }
  return 0;
}

}  // namespace convscope
