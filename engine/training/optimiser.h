/// \file
/// Gradient descent and Adam (Kingma and Ba, 2015) for the few parameters of the one-layer problem.
#pragma once

#include "core/types.h"

#include <cstdint>
#include <string_view>

namespace convbasis {

enum class Optimiser : std::uint8_t { gradient_descent, adam };
std::string_view name_of(Optimiser optimiser);  ///< "gd", "adam"
/// The other way round. Throws InvalidArgument for other names.
Optimiser optimiser_of(std::string_view name);

/// Moves parameters against their gradient, step by step. Not thread-safe; copies are independent.
template <Real T>
class Descent {
 public:
  Descent(Optimiser optimiser, double rate) : optimiser_(optimiser), rate_(rate) {}

  /// gd: x -= rate * g. adam: with m and v the running means of g and g^2 (entry by entry, decays 0.9 and 0.999, corrected for
  /// their start at zero), x -= rate * m / (sqrt(v) + 1e-8). Cost O(entries).
  void move(const Matrix<T>& gradient, Matrix<T>& parameters);

 private:
  Optimiser optimiser_;
  double rate_;
  Matrix<double> mean_, square_;  // m and v, not corrected
  int steps_ = 0;
};

}  // namespace convbasis
