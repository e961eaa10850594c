// The numbers behind every choice between ways of computing: lookups, limits, and the model that the process shares.
#include "core/cost_model.h"

#include "core/errors.h"
#include "support/expect_error.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>
#include <thread>
#include <vector>

namespace convbasis {
namespace {

using testing_inputs::message_of;

TEST(CostModel, DefaultsAreInUseAndPlausible) {
  EXPECT_EQ(cost_model(), CostModel());
  EXPECT_TRUE(is_plausible(CostModel()));
}

TEST(CostModel, TransformsAreLookedUpByBlock) {
  CostModel model;
  for (std::size_t i = 0; i < model.transform.size(); ++i) model.transform[i] = 1.0 + static_cast<double>(i);
  for (std::size_t i = 0; i < model.transform.size(); ++i) EXPECT_EQ(model.transform_of(Index{32} << i), model.transform[i]);
  EXPECT_EQ(model.transform_of(2), model.transform.front()) << "the nearest size measured";
  EXPECT_EQ(model.transform_of(Index{1} << 20), model.transform.back());
}

RC_GTEST_PROP(CostModel, SpectralCostIsBetweenItsNeighbours, (int quarters, int more)) {
  const CostModel model;
  const double bytes = std::exp2(0.25 * (std::abs(quarters % 200)));
  const double larger = bytes * std::exp2(0.1 * std::abs(more % 100));
  RC_ASSERT(model.spectral_of(bytes) >= model.spectral.front());
  RC_ASSERT(model.spectral_of(larger) <= model.spectral.back());
  RC_ASSERT(model.spectral_of(bytes) <= model.spectral_of(larger));  // the defaults grow
}

TEST(CostModel, SpectralCostMeetsWhatWasMeasured) {
  const CostModel model;
  double bytes = CostModel::smallest_working_set;
  for (const double ns : model.spectral) {
    EXPECT_DOUBLE_EQ(model.spectral_of(bytes), ns);
    bytes *= 4.0;
  }
  EXPECT_EQ(model.spectral_of(0.0), model.spectral.front());
}

TEST(CostModel, WhatIsNoTimeIsRefused) {
  for (const double bad : {0.0, -1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN(), 1e12}) {
    for (double CostModel::*number : {&CostModel::direct, &CostModel::exact, &CostModel::exact_score, &CostModel::recover,
                                      &CostModel::exponential, &CostModel::conv_value, &CostModel::exact_call,
                                      &CostModel::conv_call, &CostModel::exact_double, &CostModel::conv_double}) {
      CostModel model;
      model.*number = bad;
      EXPECT_FALSE(is_plausible(model)) << bad;
      message_of<InvalidArgument>([&] { set_cost_model(model); });
    }
    CostModel model;
    model.transform[3] = bad;
    EXPECT_FALSE(is_plausible(model));
    model = {};
    model.spectral[4] = bad;
    EXPECT_FALSE(is_plausible(model));
  }
  EXPECT_EQ(cost_model(), CostModel()) << "a refused model changes nothing";
}

TEST(CostModel, IsSetAndReadByManyThreads) {
  CostModel other;
  other.direct = other.exact = 0.5;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 200; ++i) {
          set_cost_model(t % 2 == 0 ? CostModel() : other);
          const CostModel seen = cost_model();
          EXPECT_TRUE(seen == other || seen == CostModel()) << "never half of one and half of the other";
        }
      });
    }
  }
  set_cost_model({});
}

}  // namespace
}  // namespace convbasis
