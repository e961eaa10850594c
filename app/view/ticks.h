/// \file
/// Where ticks stand on an axis or a colour bar, and what they are called.
#pragma once

#include "view/colour_scale.h"

#include <string>
#include <vector>

namespace convscope {

/// A label is `text`, and for powers of ten a raised `exponent` behind it; a minor tick has neither.
struct Tick {
  double value = 0.0;
  std::string text;
  std::string exponent;
};

/// Ticks at 1, 2 or 5 times a power of ten within [range.lo, range.hi], at most `count` (>= 2) of them; all labels have the same
/// number of decimals.
std::vector<Tick> linear_ticks(Range range, int count);

/// As linear_ticks but at whole numbers only, for rows and columns; a view of a single cell has one tick.
std::vector<Tick> cell_ticks(Range range, int count);

/// Ticks at powers of ten within the range, at most `count` labelled, with unlabelled minor ticks at 2..9 between
/// neighbouring decades when there are at most six of them. Needs 0 < lo < hi.
std::vector<Tick> log_ticks(Range range, int count);

/// Ticks of a colour bar: linear, log, or for symlog zero and powers of ten to both sides.
std::vector<Tick> scale_ticks(const ColourScale& scale, int count);

/// A number with `digits` (1 to 6) significant digits, as short as that allows: "0.0132", "-3.00e-4", "12.5", "0", "nan".
std::string short_number(double value, int digits = 3);

}  // namespace convscope
