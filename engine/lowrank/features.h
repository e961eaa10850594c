/// \file
/// exp(x) as a polynomial, and the polynomial of a dot product as a dot product of features. Mathematics page, section 5.
#pragma once

#include "core/types.h"

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace convbasis {

/// sum_p coefficients[p] x^p, close to exp(x - shift) on [low, high]. The shift, here `high`, keeps the values below about 1;
/// being the same for all scores it cancels in attention.
struct ExpPolynomial {
  std::vector<double> coefficients;  ///< of x^0 ... x^g, finite
  double low = 0.0;
  double high = 0.0;
  double shift = 0.0;
  /// The largest |polynomial - exp| / exp on [low, high], looked at in 1001 places.
  double relative_error = 0.0;

  Index degree() const { return std::ssize(coefficients) - 1; }
  double operator()(double x) const;
};

/// How the polynomial is chosen.
enum class ExpFit {
  taylor,     ///< the first terms about the middle of the interval; positive everywhere when the degree is even
  chebyshev,  ///< least squares of the error in the Chebyshev nodes of the interval, which is near its smallest maximum
  relative,   ///< the same for the relative error: small weights count as much as large ones
  sampled,    ///< least squares over given scores, each with a weight: close to exp where the scores are (fit_exp_to)
};
std::string_view name_of(ExpFit fit);

/// Degrees beyond this are refused: the powers of x lose all digits.
inline constexpr Index max_exp_degree = 16;

/// The polynomial of this degree by `fit`, which is not `sampled`. Throws InvalidArgument unless 0 <= degree <= max_exp_degree
/// and low <= high are finite and less than 600 apart.
ExpPolynomial fit_exp(Index degree, double low, double high, ExpFit fit);

/// A score and how much its error counts.
struct WeightedScore {
  double score;
  double weight;
};

/// The polynomial p with the least sum of weight (p(score) - exp(score - shift))^2; low and high are the smallest and the largest
/// of the scores. Cost O(g^2) a score. Throws InvalidArgument as above, and for no scores.
ExpPolynomial fit_exp_to(Index degree, std::span<const WeightedScore> scores);

/// C(d + g, g), the number of monomials of up to g factors in d variables; the largest Index where that, or g times it, is more.
/// Throws InvalidArgument unless d >= 1 and g >= 0.
Index feature_count(Index width, Index degree);

/// The features: phi_q(q) . phi_k(k) = sum_p a_p (q . k)^p up to rounding. A feature is a monomial of up to g factors; that of a
/// query is the monomial alone, that of a key carries the coefficient: a_p times the number of orders of its factors, so that a
/// negative a_p needs no feature of its own. Ordered by degree, then lexicographically.
///
/// Immutable; safe to use from any thread. Memory: 4 (g + 1) bytes a feature, 8 more in double.
template <Real T>
class PolynomialFeatures {
 public:
  enum class Side { query, key };

  /// For vectors of `width` numbers; the scale of the scores belongs into the queries. Throws InvalidArgument.
  PolynomialFeatures(Index width, std::span<const double> coefficients);

  Index count() const { return static_cast<Index>(weights_.size()); }
  Index width() const { return width_; }
  Index degree() const { return degree_; }
  /// Bytes that the constructor takes for these features: nothing is allocated by asking.
  static double bytes(Index width, Index degree);

  /// out[f - first][x] for the features f in [first, first + features) and the points x < points: the transposed matrix, as
  /// products read it. `vectors` is transposed too: variable c of point x at vectors[c * points + x]. `out` rows are `stride`
  /// apart. `scratch` holds degree() * points numbers. Cost about one multiplication a number.
  void compute(Side side, const T* vectors, Index points, Index first, Index features, T* out, Index stride, T* scratch) const;

  /// All features of all rows of `vectors` (n x width): n x count(). Meant for small n.
  Matrix<T> matrix(Side side, MatrixView<T> vectors) const;

 private:
  static constexpr std::uint32_t no_factor = static_cast<std::uint32_t>(-1);

  Index width_;
  Index degree_;
  std::vector<std::uint32_t> factors_;  ///< degree_ a feature, ascending; no_factor after the last
  std::vector<T> weights_;              ///< what the key's feature carries
};

}  // namespace convbasis
