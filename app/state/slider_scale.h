/// \file
/// Where a number sits on a slider, and back.
#pragma once

namespace convscope {

/// The numbers a slider offers. With `smallest` > 0 the scale is logarithmic from `smallest` to `high`, and its left end means
/// `low` (so that 0 can be reached); with 0 it is linear.
struct SliderScale {
  double low = 0.0;
  double high = 1.0;
  double smallest = 0.0;

  /// In [0, 1]; numbers outside the range sit at its ends.
  double position_of(double value) const;
  /// The number at `position`, which is cut to [0, 1].
  double value_at(double position) const;
};

}  // namespace convscope
