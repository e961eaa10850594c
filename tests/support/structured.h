/// \file
/// Structured fits as dense matrices, straight from section 7 of the mathematics page, for tests. Keep n small.
#pragma once

#include "basis/structured_fit.h"
#include "basis/structured_sums.h"
#include "support/reference.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace convbasis::reference {

/// 1 where an entry is causal and not exact, else 0.
inline Dense rest_mask(const ExactEntries& exact) {
  Dense mask = Dense::Zero(exact.size, exact.size);
  for (Index i = 0; i < exact.size; ++i) {
    for (Index j = 0; j <= i; ++j) {
      const bool column = std::find(exact.columns.begin(), exact.columns.end(), j) != exact.columns.end();
      mask(i, j) = i - j < exact.band || column ? 0.0 : 1.0;
    }
  }
  return mask;
}

/// The segment that a column lies in.
inline std::size_t segment_of(const std::vector<Index>& starts, Index column) {
  std::size_t r = 0;
  while (r + 1 < starts.size() && starts[r + 1] <= column) ++r;
  return r;
}

/// The factors of A_ij = a_i b_j g_r[i - j].
struct RestFactors {
  std::vector<double> a, b;
  std::vector<std::vector<double>> g;  ///< of each segment, by lag; empty: 1
  std::vector<Index> starts;

  double entry(Index i, Index j) const {
    const double lag = g.empty() ? 1.0 : g[segment_of(starts, j)][static_cast<std::size_t>(i - j)];
    return a[static_cast<std::size_t>(i)] * b[static_cast<std::size_t>(j)] * lag;
  }
  Dense dense(const Dense& mask) const {
    Dense result = Dense::Zero(mask.rows(), mask.cols());
    for (Index i = 0; i < mask.rows(); ++i) {
      for (Index j = 0; j <= i; ++j) {
        if (mask(i, j) > 0.0) result(i, j) = entry(i, j);
      }
    }
    return result;
  }
};

/// sum M log(M / A) - M + A.
inline double divergence(const Dense& rest, const Dense& model) {
  double total = 0.0;
  for (Index i = 0; i < rest.rows(); ++i) {
    for (Index j = 0; j <= i; ++j) {
      const double m = rest(i, j);
      if (m > 0.0) total += m * std::log(m / model(i, j));
      total += model(i, j) - m;
    }
  }
  return total;
}

/// Rounds of b, g and a, each from its formula, entry by entry. `divergences` gets the objective after every step.
inline RestFactors scaled(const Dense& rest, const Dense& mask, const std::vector<Index>& starts, int rounds,
                          std::vector<double>* divergences = nullptr) {
  const Index n = rest.rows();
  const auto size = static_cast<std::size_t>(n);
  RestFactors f{std::vector<double>(size, 1.0), std::vector<double>(size, 1.0), {}, starts};
  if (!starts.empty()) f.g.assign(starts.size(), std::vector<double>(size, 1.0));
  const auto note = [&] {
    if (divergences) divergences->push_back(divergence(rest, f.dense(mask)));
  };
  const auto step = [](double& factor, double wanted, double sum) { factor = sum > 0.0 ? factor * wanted / sum : 0.0; };
  const auto fit_rows = [&] {
    const Dense model = f.dense(mask);
    for (Index i = 0; i < n; ++i) step(f.a[static_cast<std::size_t>(i)], rest.row(i).sum(), model.row(i).sum());
    note();
  };
  fit_rows();
  for (int round = 0; round < rounds; ++round) {
    Dense model = f.dense(mask);
    for (Index j = 0; j < n; ++j) step(f.b[static_cast<std::size_t>(j)], rest.col(j).sum(), model.col(j).sum());
    note();
    if (!f.g.empty()) {
      model = f.dense(mask);
      for (std::size_t r = 0; r < starts.size(); ++r) {
        for (Index t = 0; t < n; ++t) {
          double wanted = 0.0, sum = 0.0;
          for (Index j = 0; j + t < n; ++j) {
            if (segment_of(starts, j) != r) continue;
            wanted += rest(j + t, j);
            sum += model(j + t, j);
          }
          step(f.g[r][static_cast<std::size_t>(t)], wanted, sum);
        }
      }
      note();
    }
    fit_rows();
  }
  return f;
}

/// A fit as a dense matrix: `probability` on the exact entries, the rest elsewhere.
inline Dense dense_fit(const StructuredFit& fit, const Dense& probability) {
  const Dense mask = rest_mask(fit.exact);
  Dense result = Dense::Zero(fit.size(), fit.size());
  for (Index i = 0; i < fit.size(); ++i) {
    for (Index j = 0; j <= i; ++j) {
      double lag = 1.0;
      if (fit.k() > 0) lag = fit.lags.lag_vector(fit.lags.segment_of(j))[static_cast<std::size_t>(i - j)];
      const double rest = fit.row_factor[static_cast<std::size_t>(i)] * fit.column_factor[static_cast<std::size_t>(j)] * lag;
      result(i, j) = mask(i, j) > 0.0 ? rest : probability(i, j);
    }
  }
  return result;
}

}  // namespace convbasis::reference
