/// \file
/// Gradients as small pictures: pooled to a number of cells, coloured around zero.
#pragma once

#include "core/types.h"
#include "view/colour_map.h"

#include <cstdint>
#include <vector>

namespace convscope {

/// The matrix with at most `most` rows and as many columns. A cell of several numbers has the one of the largest magnitude, with
/// its sign: a mean of gradients, which have both signs, would fade with n. A NaN stays one. Cost O(rows * columns).
template <convbasis::Real T>
convbasis::Matrix<float> pooled_peaks(const convbasis::Matrix<T>& values, convbasis::Index most);

/// The largest magnitude, without NaN and infinities; 0 when there is nothing else.
double largest_magnitude(const convbasis::Matrix<float>& values);

/// side x side pixels of 8-bit RGBA, row-major: the cells stretched over the whole square. `limit` > 0 gets the last colour of
/// `table`, -limit the first; NaN is `not_a_number`.
std::vector<std::uint8_t> coloured_cells(const convbasis::Matrix<float>& cells, int side, double limit, const ColourTable& table,
                                         Rgb not_a_number);

}  // namespace convscope
