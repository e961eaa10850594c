#include "state/slider_scale.h"

#include <algorithm>
#include <cmath>

namespace convscope {

double SliderScale::position_of(double value) const {
  if (!(high > low)) return 0.0;
  if (smallest <= 0.0) return std::clamp((value - low) / (high - low), 0.0, 1.0);
  if (value <= smallest) return 0.0;
  return std::clamp(std::log(value / smallest) / std::log(high / smallest), 0.0, 1.0);
}

double SliderScale::value_at(double position) const {
  position = std::clamp(position, 0.0, 1.0);
  if (smallest <= 0.0) return low + position * (high - low);
  return position == 0.0 ? low : smallest * std::pow(high / smallest, position);
}

}  // namespace convscope
