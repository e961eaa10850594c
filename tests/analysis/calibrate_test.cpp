// Calibration gives a model that can be used; what it measures is not looked at.
#include "analysis/calibrate.h"

#include <gtest/gtest.h>

namespace convbasis {
namespace {

TEST(Calibrate, GivesAPlausibleModelAndChangesNothing) {
  const CostModel before = cost_model();
  double last = 0.0;
  RunContext context;
  context.progress = [&](std::string_view, double fraction) {
    EXPECT_GT(fraction, last);
    last = fraction;
  };
  EXPECT_TRUE(is_plausible(calibrate(context)));
  EXPECT_DOUBLE_EQ(last, 1.0);
  EXPECT_EQ(cost_model(), before);
}

TEST(Calibrate, StopsOnRequest) {
  std::stop_source stop;
  RunContext context{.stop = stop.get_token()};
  context.progress = [&](std::string_view, double) { stop.request_stop(); };
  EXPECT_THROW(calibrate(context), Cancelled);
}

}  // namespace
}  // namespace convbasis
