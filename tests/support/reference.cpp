#include "support/reference.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace convbasis::reference {
namespace {

/// The scores of row i of a basis, for j <= i.
template <Real T>
std::vector<double> score_row(const ConvBasis<T>& scores, Index row) {
  std::vector<double> result(static_cast<std::size_t>(row) + 1, 0.0);
  for (Index r = 0; r < scores.count(); ++r) {
    for (Index j = scores.start(r); j < std::min(scores.end(r), row + 1); ++j) {
      result[static_cast<std::size_t>(j)] = static_cast<double>(scores.lag_vector(r)[static_cast<std::size_t>(row - j)]);
    }
  }
  return result;
}

/// Turns scores into probabilities in place and returns their log-sum-exp.
double normalise(std::span<double> row) {
  const double largest = *std::max_element(row.begin(), row.end());
  double sum = 0.0;
  for (double& entry : row) {
    entry = std::exp(entry - largest);
    sum += entry;
  }
  for (double& entry : row) entry /= sum;
  return largest + std::log(sum);
}

}  // namespace

Dense conv(std::span<const double> b, Index m, Index n) {
  Dense result = Dense::Zero(n, n);
  for (Index j = n - m; j < n; ++j) {
    for (Index i = j; i < n; ++i) result(i, j) = b[static_cast<std::size_t>(i - j)];
  }
  return result;
}

template <Real T>
Dense dense(const ConvBasis<T>& basis) {
  Dense result = Dense::Zero(basis.size(), basis.size());
  for (Index r = 0; r < basis.count(); ++r) {
    const std::vector<T> b = basis.basis_vector(r);
    result += conv(std::vector<double>(b.begin(), b.end()), basis.extent(r), basis.size());
  }
  return result;
}

template <Real T>
Dense scores(const HeadView<T>& head) {
  const Index n = head.size();
  Dense result = Dense::Zero(n, n);
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j <= i; ++j) {
      if (head.matrix) {
        Matrix<T> entry(1, 1);
        head.matrix->read(i, j, mutable_view(entry));
        result(i, j) = static_cast<double>(entry(0, 0));
        continue;
      }
      double sum = 0.0;
      for (Index c = 0; c < head.width(); ++c) sum += static_cast<double>(head.query(i, c)) * static_cast<double>(head.key(j, c));
      result(i, j) = head.scale * sum;
      if (!head.bias.empty()) result(i, j) += static_cast<double>(head.bias[static_cast<std::size_t>(i - j)]);
    }
  }
  return result;
}

Softmax softmax(const Dense& scores) {
  const Index n = scores.rows();
  Softmax result{Dense::Zero(n, n), std::vector<double>(static_cast<std::size_t>(n))};
  for (Index i = 0; i < n; ++i) {
    std::vector<double> row(static_cast<std::size_t>(i) + 1);
    for (Index j = 0; j <= i; ++j) row[static_cast<std::size_t>(j)] = scores(i, j);
    result.lse[static_cast<std::size_t>(i)] = normalise(row);
    for (Index j = 0; j <= i; ++j) result.probability(i, j) = row[static_cast<std::size_t>(j)];
  }
  return result;
}

Recovered recover(const Dense& scores, Index k, Index T, double delta, double eps) {
  const Index n = scores.rows();
  std::vector<double> u(static_cast<std::size_t>(n), 0.0);
  std::vector<double> v(static_cast<std::size_t>(T), 0.0);
  Recovered result;
  Index s = -1;
  while (static_cast<Index>(result.starts.size()) < k) {
    Index found = -1;
    for (Index j = s + 1; j <= n - T && found < 0; ++j) {
      double distance = 0.0;
      for (Index t = 0; t < T; ++t) distance += std::abs(scores(j + t, j) - v[static_cast<std::size_t>(t)]);
      if (distance >= delta - 2.0 * static_cast<double>(T) * eps) found = j;
    }
    if (found < 0) break;
    s = found;
    std::vector<double> b(static_cast<std::size_t>(n), 0.0);
    for (Index t = 0; t < n - s; ++t) b[static_cast<std::size_t>(t)] = scores(s + t, s) - u[static_cast<std::size_t>(t)];
    for (std::size_t t = 0; t < u.size(); ++t) u[t] += b[t];
    for (std::size_t t = 0; t < v.size(); ++t) v[t] += b[t];
    result.starts.push_back(s);
    result.lag_vectors.emplace_back(u.begin(), u.begin() + (n - s));
  }
  return result;
}

template <Real T>
Dense segment_sum(const ConvBasis<T>& scores, const Dense& value) {
  Dense result = Dense::Zero(scores.size(), value.cols());
  for (Index i = 0; i < scores.size(); ++i) {
    std::vector<double> row = score_row(scores, i);
    normalise(row);
    for (Index j = 0; j <= i; ++j) result.row(i) += row[static_cast<std::size_t>(j)] * value.row(j);
  }
  return result;
}

template <Real T>
Dense segment_sum_transposed(const ConvBasis<T>& scores, const Dense& value) {
  Dense result = Dense::Zero(scores.size(), value.cols());
  for (Index i = 0; i < scores.size(); ++i) {
    std::vector<double> row = score_row(scores, i);
    normalise(row);
    for (Index j = 0; j <= i; ++j) result.row(j) += row[static_cast<std::size_t>(j)] * value.row(i);
  }
  return result;
}

std::vector<std::complex<double>> dft(std::span<const double> signal) {
  const std::size_t n = signal.size();
  std::vector<std::complex<double>> spectrum(n / 2 + 1);
  for (std::size_t f = 0; f < spectrum.size(); ++f) {
    for (std::size_t t = 0; t < n; ++t) {
      // f t mod N keeps the angle small, so that sine and cosine stay accurate.
      const double angle = -2.0 * std::numbers::pi * static_cast<double>(f * t % n) / static_cast<double>(n);
      spectrum[f] += signal[t] * std::polar(1.0, angle);
    }
  }
  return spectrum;
}

double relative_error(const Dense& got, const Dense& expected) { return (got - expected).norm() / expected.norm(); }

double max_error(const Dense& got, const Dense& expected) { return (got - expected).cwiseAbs().maxCoeff<Eigen::PropagateNaN>(); }

template Dense dense(const ConvBasis<float>&);
template Dense dense(const ConvBasis<double>&);
template Dense scores(const HeadView<float>&);
template Dense scores(const HeadView<double>&);
template Dense segment_sum(const ConvBasis<float>&, const Dense&);
template Dense segment_sum(const ConvBasis<double>&, const Dense&);
template Dense segment_sum_transposed(const ConvBasis<float>&, const Dense&);
template Dense segment_sum_transposed(const ConvBasis<double>&, const Dense&);

}  // namespace convbasis::reference
