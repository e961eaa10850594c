// Masked products against the dense sum, their counted work, and what subtraction costs in digits.
#include "lowrank/masked_product.h"

#include "core/errors.h"
#include "lowrank/masks_of_tests.h"
#include "support/expect_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>

namespace convbasis {
namespace {

using namespace testing_inputs;
using testing::HasSubstr;

template <Real T>
using Product = std::function<Operations(const Factors<T>&, MatrixView<T>, MutableMatrixView<T>, const RunContext&)>;

template <Real T>
struct Inputs {
  Matrix<T> left, right, value;
  Factors<T> factors() const { return {view(left), view(right)}; }
};

template <Real T>
Inputs<T> inputs_of(Index n, Index rank, Index columns, Rng& rng) {
  return {gaussian<T>(n, rank, rng), gaussian<T>(n, rank, rng), gaussian<T>(n, columns, rng)};
}

/// The largest |got - (W o U1 U2^T) v| relative to the sum of the absolute values of all terms; NaN is an error of infinity.
template <Real T>
double error_of(const Matrix<T>& got, const Inputs<T>& inputs, const Mask& mask) {
  const Matrix<double> ones = dense(mask);
  const Matrix<double> left = inputs.left.template cast<double>();
  const Matrix<double> right = inputs.right.template cast<double>();
  const Matrix<double> value = inputs.value.template cast<double>();
  const Matrix<double> expected = (left * right.transpose()).cwiseProduct(ones) * value;
  const Matrix<double> size = (left.cwiseAbs() * right.cwiseAbs().transpose()).cwiseProduct(ones) * value.cwiseAbs();
  double worst = 0.0;
  for (Index i = 0; i < got.rows(); ++i) {
    for (Index c = 0; c < got.cols(); ++c) {
      const double error = std::abs(static_cast<double>(got(i, c)) - expected(i, c));
      if (!(error <= worst * size(i, c))) worst = size(i, c) > 0.0 && error == error ? error / size(i, c) : 1e300;
    }
  }
  return worst;
}

template <Real T>
Matrix<T> run(const Product<T>& product, const Inputs<T>& inputs, Operations* operations = nullptr, int threads = 2) {
  Matrix<T> out = Matrix<T>::Constant(inputs.value.rows(), inputs.value.cols(), std::numeric_limits<T>::quiet_NaN());
  const Operations count = product(inputs.factors(), view(inputs.value), mutable_view(out), {.threads = threads});
  if (operations) *operations = count;
  return out;
}

template <Real T>
Product<T> by_intervals(const IntervalMask& mask, IntervalWay way) {
  return [&mask, way](const auto& f, auto v, auto out, const auto& context) {
    return interval_product<T>(f, mask, v, out, way, context);
  };
}

/// Up to 60 terms of one sign or the other, and as many of the rank: some hundred roundings at worst.
template <Real T>
constexpr double tolerance = std::same_as<T, float> ? 1e-5 : 1e-13;

template <class T>
void every_product_is_dense() {
  const auto n = *rc::gen::inRange<Index>(1, 70);
  const auto rank = *rc::gen::inRange<Index>(1, 9);
  const auto columns = *rc::gen::inRange<Index>(1, 6);
  Rng rng(static_cast<std::uint64_t>(*rc::gen::inRange(0, 1000000)));
  const auto inputs = inputs_of<T>(n, rank, columns, rng);
  const auto through_mask = [](const Mask& mask) -> Product<T> {
    return [mask](const auto& f, auto v, auto out, const auto& context) { return masked_product<T>(f, mask, v, out, context); };
  };
  const IntervalMask causal = IntervalMask::causal(n);
  const Product<T> prefix = [](const auto& f, auto v, auto out, const auto& context) {
    return causal_product<T>(f, v, out, context);
  };
  RC_ASSERT(error_of(run(prefix, inputs), inputs, causal) <= tolerance<T>);

  const IntervalMask any = random_intervals(n, rng);
  const IntervalMask sliding = random_sliding(n, rng);
  const auto width = *rc::gen::inRange<Index>(1, 80);
  const IntervalMask window = IntervalMask::sliding_window(n, width);
  const IntervalMask groups = IntervalMask::shifted_groups(n, width, width / 2);
  for (const IntervalMask* mask : {&any, &sliding, &window, &groups, &causal}) {
    RC_ASSERT(error_of(run(by_intervals<T>(*mask, IntervalWay::segment_tree), inputs), inputs, *mask) <= tolerance<T>);
    RC_ASSERT(error_of(run(through_mask(*mask), inputs), inputs, *mask) <= tolerance<T>);
    if (mask->is_sliding())
      RC_ASSERT(error_of(run(by_intervals<T>(*mask, IntervalWay::two_stacks), inputs), inputs, *mask) <= tolerance<T>);
  }
  const DistinctRowsMask rows = std::make_from_tuple<DistinctRowsMask>(random_sets(n, *rc::gen::inRange<Index>(1, 5), rng));
  const DistinctColumnsMask lines =
      std::make_from_tuple<DistinctColumnsMask>(random_sets(n, *rc::gen::inRange<Index>(1, 5), rng));
  RC_ASSERT(error_of(run(through_mask(rows), inputs), inputs, rows) <= tolerance<T>);
  RC_ASSERT(error_of(run(through_mask(lines), inputs), inputs, lines) <= tolerance<T>);
}

RC_GTEST_PROP(MaskedProduct, EveryKindIsTheDenseSum, ()) { every_product_is_dense<double>(); }
RC_GTEST_PROP(MaskedProduct, EveryKindIsTheDenseSumInFloat, ()) { every_product_is_dense<float>(); }

/// Rounding of a way that subtracts is relative to all it ever added: compared with that, not with what is left.
template <class T>
double error_of_subtracting(const Matrix<T>& got, const Inputs<T>& inputs, const Mask& mask) {
  const Matrix<double> left = inputs.left.template cast<double>();
  const Matrix<double> right = inputs.right.template cast<double>();
  const Matrix<double> value = inputs.value.template cast<double>();
  const Matrix<double> expected = (left * right.transpose()).cwiseProduct(dense(mask)) * value;
  const Matrix<double> size = left.cwiseAbs() * right.cwiseAbs().transpose() * value.cwiseAbs();
  return ((got.template cast<double>() - expected).array() / size.array()).abs().template maxCoeff<Eigen::PropagateNaN>();
}

RC_GTEST_PROP(MaskedProduct, TheWaysThatSubtractAreTheDenseSum, ()) {
  const auto n = *rc::gen::inRange<Index>(1, 70);
  Rng rng(static_cast<std::uint64_t>(*rc::gen::inRange(0, 1000000)));
  const auto inputs = inputs_of<double>(n, *rc::gen::inRange<Index>(1, 9), *rc::gen::inRange<Index>(1, 6), rng);
  const IntervalMask any = random_intervals(n, rng);
  const RowChangeMask changes(random_changes(n, 6, rng));
  // As above; columns come and go at most some hundred times here.
  RC_ASSERT(error_of_subtracting(run(by_intervals<double>(any, IntervalWay::prefix_differences), inputs), inputs, any) <= 1e-12);
  for (const bool rebuild : {false, true}) {
    const Product<double> product = [&](const auto& f, auto v, auto out, const auto& context) {
      return row_change_product<double>(f, changes, v, out, rebuild, context);
    };
    RC_ASSERT(error_of_subtracting(run(product, inputs), inputs, changes) <= 1e-12);
  }
}

TEST(MaskedProduct, SubtractionLosesWhatIsSmallBesideWhatWentBefore) {
  // The first half of the keys weighs 1e12 times the second: rows that see the second half alone.
  const Index n = 256;
  Rng rng(3);
  auto inputs = inputs_of<double>(n, 4, 2, rng);
  inputs.right.topRows(n / 2) *= 1e12;
  const IntervalMask window = IntervalMask::sliding_window(n, 16);
  const RowChangeMask changes(window);
  const auto error_below = [&](const Matrix<double>& got) {
    Matrix<double> correct = run(by_intervals<double>(window, IntervalWay::segment_tree), inputs);
    correct.bottomRows(64) = got.bottomRows(64);
    return error_of(correct, inputs, window);
  };
  EXPECT_LE(error_below(run(by_intervals<double>(window, IntervalWay::two_stacks), inputs)), 1e-14);
  EXPECT_LE(error_below(run(by_intervals<double>(window, IntervalWay::safe), inputs)), 1e-14);
  EXPECT_GE(error_below(run(by_intervals<double>(window, IntervalWay::prefix_differences), inputs)), 1e-6);
  const auto by_changes = [&](bool rebuild) -> Product<double> {
    return [&changes, rebuild](const auto& f, auto v, auto out, const auto& context) {
      return row_change_product<double>(f, changes, v, out, rebuild, context);
    };
  };
  EXPECT_GE(error_below(run(by_changes(false), inputs)), 1e-6);
  EXPECT_LE(error_below(run(by_changes(true), inputs)), 1e-13);
}

Index multiply_adds(const Product<double>& product, const Inputs<double>& inputs) {
  Operations operations;
  run(product, inputs, &operations);
  return operations.multiply_adds;
}

TEST(MaskedProduct, WorkGrowsAsStated) {
  Rng rng(4);
  const Index rank = 5, columns = 3;
  for (const Index n : {64, 100, 128, 500}) {
    const auto inputs = inputs_of<double>(n, rank, columns, rng);
    const Index unit = rank * columns;
    Operations operations;
    run<double>([](const auto& f, auto v, auto out, const auto& context) { return causal_product<double>(f, v, out, context); },
                inputs, &operations);
    EXPECT_EQ(operations, (Operations{2 * n * unit, 0}));
    const IntervalMask any = random_intervals(n, rng);
    run(by_intervals<double>(any, IntervalWay::prefix_differences), inputs, &operations);
    EXPECT_EQ(operations, (Operations{2 * n * unit, n * unit}));
    run(by_intervals<double>(any, IntervalWay::segment_tree), inputs, &operations);
    const auto log_n = static_cast<Index>(std::ceil(std::log2(static_cast<double>(n))));
    EXPECT_EQ(operations.multiply_adds, 2 * n * unit);
    EXPECT_LE(operations.additions, n * unit * (1 + 2 * log_n));
    EXPECT_GE(operations.additions, n * unit);  // random intervals are long: it does not walk leaves
    for (const Index width : {1, 7, 64, 1000}) {
      run(by_intervals<double>(IntervalMask::sliding_window(n, width), IntervalWay::two_stacks), inputs, &operations);
      EXPECT_LE(operations.multiply_adds, 3 * n * unit) << width;
      EXPECT_LE(operations.additions, 2 * n * unit) << width;
      const RowChangeMask changes(IntervalMask::sliding_window(n, width));
      const auto by_changes = [&](bool rebuild) -> Product<double> {
        return [&changes, rebuild](const auto& f, auto v, auto out, const auto& context) {
          return row_change_product<double>(f, changes, v, out, rebuild, context);
        };
      };
      const Index kept = multiply_adds(by_changes(false), inputs);
      EXPECT_EQ(kept, (n + changes.changes()) * unit);
      EXPECT_LE(multiply_adds(by_changes(true), inputs), 2 * kept);
    }
    const auto [sets, set_of] = random_sets(n, 3, rng);
    const DistinctRowsMask rows(sets, set_of);
    const DistinctColumnsMask lines(sets, set_of);
    const auto expected = (n + std::ssize(sets[0]) + std::ssize(sets[1]) + std::ssize(sets[2])) * unit;
    EXPECT_EQ(multiply_adds([&](const auto& f, auto v, auto out,
                                const auto& c) { return distinct_rows_product<double>(f, rows, v, out, c); },
                            inputs),
              expected);
    EXPECT_EQ(multiply_adds([&](const auto& f, auto v, auto out,
                                const auto& c) { return distinct_columns_product<double>(f, lines, v, out, c); },
                            inputs),
              expected);
  }
}

TEST(MaskedProduct, DoesNotDependOnTheNumberOfThreads) {
  Rng rng(5);
  const auto inputs = inputs_of<float>(200, 6, 7, rng);
  const auto [sets, set_of] = random_sets(200, 3, rng);
  for (const Mask& mask : std::vector<Mask>{random_intervals(200, rng), IntervalMask::sliding_window(200, 30),
                                            RowChangeMask(random_changes(200, 5, rng)), DistinctRowsMask(sets, set_of),
                                            DistinctColumnsMask(sets, set_of)}) {
    const Product<float> product = [&](const auto& f, auto v, auto out, const auto& c) {
      return masked_product<float>(f, mask, v, out, c);
    };
    Operations one, four;
    EXPECT_EQ(run(product, inputs, &one, 1), run(product, inputs, &four, 4));
    EXPECT_EQ(one, four);
  }
}

TEST(MaskedProduct, ReadsAndWritesInsideItsRowsOnly) {
  Rng rng(6);
  const auto inputs = inputs_of<double>(50, 3, 4, rng);
  const Padded<double> left(inputs.left, 3), right(inputs.right, 1), value(inputs.value, 2);
  Padded<double> out(Matrix<double>::Zero(50, 4), 5);
  const IntervalMask mask = IntervalMask::sliding_window(50, 9);
  interval_product<double>({left.view(), right.view()}, mask, value.view(), out.mutable_view());
  EXPECT_TRUE(out.gaps_untouched());
  EXPECT_LE(error_of<double>(out.view(), inputs, mask), 1e-13);
}

TEST(MaskedProduct, BadArgumentsAreErrors) {
  Rng rng(7);
  const auto inputs = inputs_of<double>(10, 3, 2, rng);
  Matrix<double> out(10, 2);
  const auto message = [&](const Mask& mask) {
    return message_of<InvalidArgument>(
        [&] { masked_product<double>(inputs.factors(), mask, view(inputs.value), mutable_view(out)); });
  };
  EXPECT_THAT(message(IntervalMask::causal(9)), HasSubstr("a mask of 9 rows"));
  out.resize(10, 3);
  EXPECT_THAT(message(IntervalMask::causal(10)), HasSubstr("a result of 10 x 3"));
  EXPECT_THAT(message(RowChangeMask(IntervalMask::causal(10))), HasSubstr("a result of 10 x 3"));
  out.resize(10, 2);
  std::vector<Interval> rows(10, Interval{0, 1});
  rows.front() = {0, 5};
  EXPECT_THAT(message_of<InvalidArgument>([&] {
                interval_product<double>(inputs.factors(), IntervalMask(rows), view(inputs.value), mutable_view(out),
                                         IntervalWay::two_stacks);
              }),
              HasSubstr("slide"));
  std::stop_source source;
  source.request_stop();
  EXPECT_THROW(masked_product<double>(inputs.factors(), IntervalMask::causal(10), view(inputs.value), mutable_view(out),
                                      {.stop = source.get_token()}),
               Cancelled);
}

}  // namespace
}  // namespace convbasis
