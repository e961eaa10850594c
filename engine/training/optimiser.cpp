#include "training/optimiser.h"

#include "core/errors.h"

#include <fmt/format.h>

#include <cmath>

namespace convbasis {

std::string_view name_of(Optimiser optimiser) { return optimiser == Optimiser::adam ? "adam" : "gd"; }

Optimiser optimiser_of(std::string_view name) {
  for (const Optimiser optimiser : {Optimiser::gradient_descent, Optimiser::adam}) {
    if (name_of(optimiser) == name) return optimiser;
  }
  throw InvalidArgument(fmt::format("the optimiser is \"{}\"; it must be gd or adam", name));
}

template <Real T>
void Descent<T>::move(const Matrix<T>& gradient, Matrix<T>& parameters) {
  if (optimiser_ == Optimiser::gradient_descent) {
    parameters -= static_cast<T>(rate_) * gradient;
    return;
  }
  constexpr double mean_decay = 0.9;
  constexpr double square_decay = 0.999;
  constexpr double floor = 1e-8;
  if (steps_ == 0) mean_ = square_ = Matrix<double>::Zero(gradient.rows(), gradient.cols());
  ++steps_;
  const double mean_weight = 1.0 - std::pow(mean_decay, steps_);
  const double square_weight = 1.0 - std::pow(square_decay, steps_);
  for (Index i = 0; i < gradient.size(); ++i) {
    const auto slope = static_cast<double>(gradient.data()[i]);
    double& mean = mean_.data()[i];
    double& square = square_.data()[i];
    mean = mean_decay * mean + (1.0 - mean_decay) * slope;
    square = square_decay * square + (1.0 - square_decay) * slope * slope;
    parameters.data()[i] -= static_cast<T>(rate_ * (mean / mean_weight) / (std::sqrt(square / square_weight) + floor));
  }
}

template class Descent<float>;
template class Descent<double>;

}  // namespace convbasis
