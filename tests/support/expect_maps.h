/// \file
/// Maps of an analysis against the dense matrices that it is said to stand for.
#pragma once

#include "analysis/head_analysis.h"
#include "analysis/map_tile.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace convbasis::testing_maps {

/// What a cell of P~ may be off by.
template <Real T>
double cell_tolerance(const HeadAnalysis<T>& analysis) {
  return 8.0 * testing_inputs::score_tolerance(analysis.head()) + 1e-6;  // a pixel is a float
}

/// Maps, residuals and single cells of the analysis against the dense matrices; scores where P~ is at least `least`, below which
/// its digits do not reach.
template <Real T>
void expect_maps(const HeadAnalysis<T>& analysis, const reference::Dense& exact, const reference::Dense& approximate,
                 double least = 1e-30) {
  for (const MapKind kind : {MapKind::approximation, MapKind::residual}) {
    const MapTile tile = compute_map_tile(analysis, {.kind = kind});
    for (Index i = 0; i < std::min(analysis.n, map_tile_size); ++i) {
      for (Index j = 0; j <= i; ++j) {
        const double expected = kind == MapKind::approximation ? approximate(i, j) : exact(i, j) - approximate(i, j);
        ASSERT_NEAR(tile[static_cast<std::size_t>(i * map_tile_size + j)], expected, cell_tolerance(analysis)) << i << ", " << j;
      }
    }
  }
  const reference::Dense scores = reference::scores(analysis.head());
  const MapTile tile = compute_map_tile(analysis, {.kind = MapKind::approximation, .quantity = MapQuantity::score});
  for (Index i = 0; i < std::min(analysis.n, map_tile_size); i += 7) {
    for (Index j = 0; j <= i; ++j) {
      const MapCell cell = map_cell(analysis, i, j);
      ASSERT_NEAR(cell.exact_probability, exact(i, j), cell_tolerance(analysis));
      ASSERT_NEAR(cell.approximate_probability, approximate(i, j), cell_tolerance(analysis));
      ASSERT_NEAR(cell.exact_score, scores(i, j), cell_tolerance(analysis));
      if (approximate(i, j) < least) continue;
      const double expected = std::log(approximate(i, j)) + (*analysis.exact->normalisers)[i];
      // The logarithm of a number that has T's digits.
      ASSERT_NEAR(cell.approximate_score, expected, 1e-4 + cell_tolerance(analysis));
      ASSERT_NEAR(tile[static_cast<std::size_t>(i * map_tile_size + j)], expected, 1e-4 + cell_tolerance(analysis));
    }
  }
}

}  // namespace convbasis::testing_maps
