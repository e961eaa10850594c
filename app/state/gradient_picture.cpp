#include "state/gradient_picture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace convscope {

namespace {

using convbasis::Index;
using Pixel = std::array<std::uint8_t, 4>;

Pixel pixel_of(Rgb colour) {
  const auto byte = [](float part) { return static_cast<std::uint8_t>(std::lround(std::clamp(part, 0.0F, 1.0F) * 255.0F)); };
  return {byte(colour.r), byte(colour.g), byte(colour.b), 255};
}

/// Whether `value` says more about its cell than `peak`.
bool beats(float value, float peak) { return std::isnan(value) || std::abs(value) > std::abs(peak); }

}  // namespace

template <convbasis::Real T>
convbasis::Matrix<float> pooled_peaks(const convbasis::Matrix<T>& values, Index most) {
  const Index rows = std::min(values.rows(), most);
  const Index columns = std::min(values.cols(), most);
  convbasis::Matrix<float> cells = convbasis::Matrix<float>::Zero(rows, columns);
  for (Index i = 0; i < values.rows(); ++i) {
    for (Index j = 0; j < values.cols(); ++j) {
      float& cell = cells(i * rows / values.rows(), j * columns / values.cols());
      const auto value = static_cast<float>(values(i, j));
      if (!std::isnan(cell) && beats(value, cell)) cell = value;
    }
  }
  return cells;
}

double largest_magnitude(const convbasis::Matrix<float>& values) {
  float largest = 0.0F;
  for (const float value : values.reshaped()) {
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  }
  return largest;
}

std::vector<std::uint8_t> coloured_cells(const convbasis::Matrix<float>& cells, int side, double limit, const ColourTable& table,
                                         Rgb not_a_number) {
  std::vector<Pixel> colours;
  colours.reserve(static_cast<std::size_t>(cells.size()));
  for (Index i = 0; i < cells.rows(); ++i) {
    for (Index j = 0; j < cells.cols(); ++j) {
      const double value = cells(i, j);
      colours.push_back(pixel_of(std::isnan(value) ? not_a_number : colour_at(table, 0.5 + 0.5 * value / limit)));
    }
  }
  std::vector<std::uint8_t> pixels;
  pixels.reserve(4 * static_cast<std::size_t>(side) * static_cast<std::size_t>(side));
  for (int y = 0; y < side; ++y) {
    const Index row = y * cells.rows() / side;
    for (int x = 0; x < side; ++x) {
      const Pixel& pixel = colours[static_cast<std::size_t>(row * cells.cols() + x * cells.cols() / side)];
      pixels.insert(pixels.end(), pixel.begin(), pixel.end());
    }
  }
  return pixels;
}

template convbasis::Matrix<float> pooled_peaks<float>(const convbasis::Matrix<float>&, Index);
template convbasis::Matrix<float> pooled_peaks<double>(const convbasis::Matrix<double>&, Index);

}  // namespace convscope
