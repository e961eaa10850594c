#include "core/errors.h"

#include "core/run_context.h"
#include "core/types.h"

#include <gtest/gtest.h>

#include <numeric>
#include <stop_token>

namespace convbasis {
namespace {

TEST(Errors, EveryTypeIsAnError) {
  EXPECT_THROW(throw InvalidArgument("k = 0"), Error);
  EXPECT_THROW(throw FileError("a.npy", "is empty"), Error);
  EXPECT_THROW(throw Cancelled(), Error);
}

TEST(Errors, FileErrorStartsWithThePath) { EXPECT_STREQ(FileError("dir/a.npy", "is empty").what(), "dir/a.npy: is empty"); }

TEST(RunContext, CheckThrowsOnlyAfterAStopRequest) {
  std::stop_source source;
  const RunContext context{.stop = source.get_token()};
  EXPECT_NO_THROW(context.check());
  source.request_stop();
  EXPECT_THROW(context.check(), Cancelled);
}

TEST(RunContext, ReportWithoutACallbackDoesNothing) { EXPECT_NO_THROW(RunContext{}.report("stage", 0.5)); }

TEST(Views, RowsOfAStridedViewKeepItsStride) {
  Matrix<double> matrix(6, 5);
  std::iota(matrix.data(), matrix.data() + matrix.size(), 0.0);
  const MatrixView<double> left(matrix.data(), 6, 3, Eigen::OuterStride<>(5));
  const MatrixView<double> part = rows(left, 2, 3);
  EXPECT_EQ(part.rows(), 3);
  EXPECT_EQ(part.cols(), 3);
  EXPECT_EQ(part(0, 0), 10.0);
  EXPECT_EQ(part(2, 2), 22.0);
}

TEST(Views, MutableViewWritesToTheMatrix) {
  Matrix<float> matrix = Matrix<float>::Zero(2, 3);
  mutable_view(matrix)(1, 2) = 7.0F;
  EXPECT_EQ(matrix(1, 2), 7.0F);
  EXPECT_EQ(view(matrix)(1, 2), 7.0F);
}

}  // namespace
}  // namespace convbasis
