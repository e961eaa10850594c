#include "lowrank/features.h"

#include "core/errors.h"

#include <fmt/format.h>
#include <Eigen/QR>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace convbasis {
namespace {

void require_degree(Index degree) {
  if (degree < 0 || degree > max_exp_degree) {
    throw InvalidArgument(fmt::format("degree {} of the polynomial; it must be between 0 and {}", degree, max_exp_degree));
  }
}

void require_interval(double low, double high) {
  if (!(low <= high && high - low < 600.0)) {
    throw InvalidArgument(
        fmt::format("scores between {} and {}; a polynomial needs finite ones that are less than 600 apart", low, high));
  }
}

/// x in [low, high] as t in [-1, 1].
struct UnitInterval {
  double middle, radius;
  UnitInterval(double low, double high) : middle(0.5 * (low + high)), radius(high > low ? 0.5 * (high - low) : 1.0) {}
  double operator()(double x) const { return (x - middle) / radius; }
};

/// sum_p c_p ((x - middle) / radius)^p as a polynomial in x.
std::vector<double> in_powers_of_x(const std::vector<double>& c, const UnitInterval& unit) {
  std::vector<double> result(c.size(), 0.0);
  for (std::size_t p = c.size(); p-- > 0;) {  // Horner: result = result * t + c_p
    double carried = 0.0;
    for (std::size_t q = 0; q < c.size(); ++q) {
      const double here = result[q];
      result[q] = carried / unit.radius - here * unit.middle / unit.radius;
      carried = here;
    }
    result[0] += c[p];
  }
  return result;
}

/// sum_p c_p T_p(t) as a polynomial in t.
std::vector<double> from_chebyshev(const Eigen::VectorXd& c) {
  const auto count = static_cast<std::size_t>(c.size());
  std::vector<double> result(count, 0.0), before(count, 0.0), last(count, 0.0);
  last[0] = 1.0;  // T_0
  for (std::size_t p = 0; p < count; ++p) {
    for (std::size_t q = 0; q < count; ++q) result[q] += c[static_cast<Index>(p)] * last[q];
    std::vector<double> next(count, 0.0);  // T_1 = t, then T_{p+1} = 2 t T_p - T_{p-1}
    for (std::size_t q = 0; q + 1 < count; ++q) next[q + 1] = (p == 0 ? 1.0 : 2.0) * last[q];
    for (std::size_t q = 0; q < count; ++q) next[q] -= before[q];
    before = last;
    last = next;
  }
  return result;
}

ExpPolynomial finished(std::vector<double> coefficients, double low, double high) {
  ExpPolynomial polynomial{.coefficients = std::move(coefficients), .low = low, .high = high, .shift = high};
  for (int place = 0; place <= 1000; ++place) {
    const double x = low + (high - low) * place / 1000.0;
    polynomial.relative_error = std::max(polynomial.relative_error, std::abs(polynomial(x) * std::exp(high - x) - 1.0));
  }
  return polynomial;
}

/// The least sum of (weight (p(x) - exp(x - high)))^2.
ExpPolynomial least_squares(Index degree, std::span<const WeightedScore> points, double low, double high) {
  const UnitInterval unit(low, high);
  const auto count = static_cast<Index>(points.size());
  Matrix<double> basis(count, degree + 1);
  Eigen::VectorXd wanted(count);
  for (Index m = 0; m < count; ++m) {
    const auto [x, weight] = points[static_cast<std::size_t>(m)];
    const double t = unit(x);
    for (Index p = 0; p <= degree; ++p) basis(m, p) = p == 0 ? 1.0 : p == 1 ? t : 2.0 * t * basis(m, p - 1) - basis(m, p - 2);
    basis.row(m) *= weight;
    wanted[m] = weight * std::exp(x - high);
  }
  // The smallest of all solutions where the scores do not settle one, as when all are the same.
  const Eigen::VectorXd chebyshev = basis.completeOrthogonalDecomposition().solve(wanted);
  return finished(in_powers_of_x(from_chebyshev(chebyshev), unit), low, high);
}

ExpPolynomial taylor(Index degree, double low, double high) {
  const UnitInterval unit(low, high);
  std::vector<double> terms{std::exp(unit.middle - high)};
  for (Index p = 1; p <= degree; ++p) terms.push_back(terms.back() * unit.radius / static_cast<double>(p));
  return finished(in_powers_of_x(terms, unit), low, high);
}

/// out = weight left right, each of `count` numbers; no `left` is all ones.
template <Real T>
void multiply(const T* left, const T* right, T weight, Index count, T* out) {
  if (!left) {
    for (Index x = 0; x < count; ++x) out[x] = weight * right[x];
  } else {
    for (Index x = 0; x < count; ++x) out[x] = weight * left[x] * right[x];
  }
}

}  // namespace

double ExpPolynomial::operator()(double x) const {
  double value = 0.0;
  for (std::size_t p = coefficients.size(); p-- > 0;) value = value * x + coefficients[p];
  return value;
}

std::string_view name_of(ExpFit fit) {
  switch (fit) {
    case ExpFit::taylor:
      return "taylor";
    case ExpFit::chebyshev:
      return "chebyshev";
    case ExpFit::relative:
      return "relative";
    case ExpFit::sampled:
      break;
  }
  return "sampled";
}

ExpPolynomial fit_exp(Index degree, double low, double high, ExpFit fit) {
  require_degree(degree);
  require_interval(low, high);
  if (fit == ExpFit::taylor) return taylor(degree, low, high);
  if (fit == ExpFit::sampled) throw InvalidArgument("a sampled fit needs scores; fit_exp_to() takes them");
  const Index nodes = 8 * (degree + 1);
  std::vector<WeightedScore> points;
  for (Index m = 0; m < nodes; ++m) {
    const double t = std::cos(std::numbers::pi * (static_cast<double>(m) + 0.5) / static_cast<double>(nodes));
    const double x = 0.5 * (low + high) + 0.5 * (high - low) * t;
    points.push_back({x, fit == ExpFit::relative ? std::exp(0.5 * (low + high) - x) : 1.0});
  }
  return least_squares(degree, points, low, high);
}

ExpPolynomial fit_exp_to(Index degree, std::span<const WeightedScore> scores) {
  require_degree(degree);
  if (scores.empty()) throw InvalidArgument("no scores to fit a polynomial to; one is needed at least");
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  std::vector<WeightedScore> points(scores.begin(), scores.end());
  for (auto& [score, weight] : points) {
    if (!std::isfinite(score) || !(weight >= 0.0))
      throw InvalidArgument("a score to fit to is not finite, or its weight is below 0");
    low = std::min(low, score);
    high = std::max(high, score);
    weight = std::sqrt(weight);
  }
  require_interval(low, high);
  return least_squares(degree, points, low, high);
}

Index feature_count(Index width, Index degree) {
  if (width < 1 || degree < 0) {
    throw InvalidArgument(
        fmt::format("features of degree {} in {} variables; at least degree 0 and one variable", degree, width));
  }
  constexpr Index most = std::numeric_limits<Index>::max();
  Index count = 1;  // C(d + p, p) = C(d + p - 1, p - 1) (d + p) / p, always whole
  for (Index p = 1; p <= degree; ++p) {
    if (width > most - p || count > most / (width + p)) return most;
    count = count * (width + p) / p;
  }
  return count;
}

template <Real T>
double PolynomialFeatures<T>::bytes(Index width, Index degree) {
  return static_cast<double>(feature_count(width, degree)) * static_cast<double>(4 * degree + static_cast<Index>(sizeof(T)));
}

template <Real T>
PolynomialFeatures<T>::PolynomialFeatures(Index width, std::span<const double> coefficients)
    : width_(width), degree_(std::ssize(coefficients) - 1) {
  require_degree(degree_);
  const auto total = static_cast<std::size_t>(feature_count(width, degree_));
  factors_.reserve(total * static_cast<std::size_t>(degree_));
  weights_.reserve(total);
  std::vector<std::uint32_t> factors;
  for (Index p = 0; p <= degree_; ++p) {
    factors.assign(static_cast<std::size_t>(p), 0);
    while (true) {
      // p! / prod (how often each factor comes)!: multiply by the place, divide by the place in its run.
      double orders = 1.0;
      Index run = 0;
      for (std::size_t l = 0; l < factors.size(); ++l) {
        run = l > 0 && factors[l] == factors[l - 1] ? run + 1 : 1;
        orders = orders * static_cast<double>(l + 1) / static_cast<double>(run);
      }
      weights_.push_back(static_cast<T>(coefficients[static_cast<std::size_t>(p)] * orders));
      factors_.insert(factors_.end(), factors.begin(), factors.end());
      factors_.insert(factors_.end(), static_cast<std::size_t>(degree_ - p), no_factor);
      // The next ascending tuple: raise the last place that can be raised, and all after it to the same.
      Index place = p - 1;
      while (place >= 0 && factors[static_cast<std::size_t>(place)] + 1 == static_cast<std::uint32_t>(width)) --place;
      if (place < 0) break;
      std::fill(factors.begin() + place, factors.end(), factors[static_cast<std::size_t>(place)] + 1);
    }
  }
}

template <Real T>
void PolynomialFeatures<T>::compute(Side side, const T* vectors, Index points, Index first, Index features, T* out, Index stride,
                                    T* scratch) const {
  // scratch[l]: the product of the first l + 1 factors, for l < made. The next feature shares most of it.
  const std::uint32_t* before = nullptr;
  Index made = 0;
  for (Index f = first; f < first + features; ++f, out += stride) {
    const std::uint32_t* factors = factors_.data() + f * degree_;
    const T weight = side == Side::key ? weights_[static_cast<std::size_t>(f)] : T{1};
    if (degree_ == 0 || factors[0] == no_factor) {
      std::fill_n(out, points, weight);
      continue;
    }
    Index shared = 0;
    while (shared < made && before[shared] == factors[shared]) ++shared;
    before = factors;
    Index l = 0;
    const T* product = nullptr;
    for (; l + 1 < degree_ && factors[l + 1] != no_factor; ++l) {
      T* here = scratch + l * points;
      if (l >= shared) multiply(product, vectors + factors[l] * points, T{1}, points, here);
      product = here;
    }
    made = l;
    multiply(product, vectors + factors[l] * points, weight, points, out);
  }
}

template <Real T>
Matrix<T> PolynomialFeatures<T>::matrix(Side side, MatrixView<T> vectors) const {
  if (vectors.cols() != width_) {
    throw InvalidArgument(fmt::format("vectors of {} numbers; the features are for {}", vectors.cols(), width_));
  }
  const Index n = vectors.rows();
  const Matrix<T> transposed_vectors = vectors.transpose();
  Matrix<T> transposed(count(), n);
  Matrix<T> scratch(std::max<Index>(degree_, 1), n);
  compute(side, transposed_vectors.data(), n, 0, count(), transposed.data(), n, scratch.data());
  return transposed.transpose();
}

template class PolynomialFeatures<float>;
template class PolynomialFeatures<double>;

}  // namespace convbasis
