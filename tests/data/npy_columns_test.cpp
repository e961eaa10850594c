// npy files that are written by blocks of columns.
#include "core/errors.h"
#include "data/npy_writer.h"
#include "data/tensor_file.h"
#include "support/expect_error.h"
#include "support/tensor_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

namespace convbasis {
namespace {

using test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing_inputs::message_of;

std::size_t files_in(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
}

/// The file's only tensor.
template <Real T>
Matrix<T> read_back(const std::filesystem::path& path) {
  const auto file = open_tensor_file(path);
  const TensorInfo& tensor = file->tensors()[0];
  Matrix<T> matrix(tensor.shape.at(0), tensor.shape.at(1));
  file->read<T>(tensor, 0, std::span(matrix.data(), static_cast<std::size_t>(matrix.size())));
  return matrix;
}

/// Writes `matrix` in blocks of the given widths.
template <Real T>
void write_in_blocks(const std::filesystem::path& path, const Matrix<T>& matrix, const std::vector<Index>& widths) {
  NpyColumnWriter<T> writer(path, matrix.rows(), matrix.cols());
  Index first = 0;
  for (const Index width : widths) {
    writer.append({matrix.data() + first, matrix.rows(), width, Eigen::OuterStride<>(matrix.cols())});
    first += width;
  }
  writer.commit();
}

template <Real T>
void random_blocks_read_back() {
  const Index rows = *rc::gen::inRange<Index>(0, 600);
  std::vector<Index> widths;
  for (Index left = *rc::gen::inRange<Index>(1, 70); left > 0; left -= widths.back()) {
    widths.push_back(*rc::gen::inRange<Index>(1, left + 1));
  }
  const Matrix<T> matrix = Matrix<T>::Random(rows, std::accumulate(widths.begin(), widths.end(), Index{0}));
  const TemporaryFolder folder;
  write_in_blocks<T>(folder.path() / "y.npy", matrix, widths);
  RC_ASSERT(read_back<T>(folder.path() / "y.npy") == matrix);
  RC_ASSERT(files_in(folder.path()) == 1U);
}

RC_GTEST_PROP(NpyColumns, AnyBlocksReadBackInFloat, ()) { random_blocks_read_back<float>(); }
RC_GTEST_PROP(NpyColumns, AnyBlocksReadBackInDouble, ()) { random_blocks_read_back<double>(); }

TEST(NpyColumns, BytesAreTheFormats) {
  const TemporaryFolder folder;
  Matrix<float> matrix(2, 2);
  matrix << 1.0F, 2.0F, 3.0F, 4.0F;
  write_in_blocks<float>(folder.path() / "y.npy", matrix, {1, 1});
  const std::string literal = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }";
  EXPECT_EQ(test::read_all(folder.path() / "y.npy"),
            test::npy_bytes(literal + std::string(117 - literal.size(), ' ') + "\n",
                            test::bytes_of_numbers(std::vector<float>{1.0F, 3.0F, 2.0F, 4.0F})));
}

TEST(NpyColumns, TargetIsUntouchedUntilCommit) {
  const TemporaryFolder folder;
  const auto path = folder.write("y.npy", "the old result");
  const Matrix<double> matrix = Matrix<double>::Random(5, 3);
  {
    NpyColumnWriter<double> writer(path, 5, 3);
    writer.append(view(matrix));
    writer.flush();
    EXPECT_EQ(test::read_all(path), "the old result");
    EXPECT_EQ(writer.temporary().parent_path(), folder.path());
    EXPECT_GE(std::filesystem::file_size(writer.temporary()), 15U * sizeof(double));
  }
  EXPECT_EQ(test::read_all(path), "the old result");
  EXPECT_EQ(files_in(folder.path()), 1U) << "the temporary file is gone";
}

TEST(NpyColumns, BlocksThatDoNotFitAreErrors) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "y.npy";
  NpyColumnWriter<float> writer(path, 4, 3);
  const Matrix<float> two = Matrix<float>::Zero(4, 2);
  const Matrix<float> short_one = Matrix<float>::Zero(3, 1);
  EXPECT_THAT(message_of<InvalidArgument>([&] { writer.append(view(short_one)); }),
              HasSubstr("a block of 3 x 1 does not fit: 4 x 3 is left"));
  writer.append(view(two));
  EXPECT_THAT(message_of<InvalidArgument>([&] { writer.append(view(two)); }), HasSubstr("4 x 1 is left"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { writer.commit(); }), HasSubstr("2 of 3 columns"));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(NpyColumns, RefusesBeforeWorkWhatTheDiskCannotHold) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "y.npy";
  const std::string message = message_of<FileError>([&] { NpyColumnWriter<float>(path, Index{1} << 30, Index{1} << 24); });
  EXPECT_THAT(message, HasSubstr("y.npy: takes 7.21e+07 GB, but the disk has "));
  EXPECT_THAT(message_of<FileError>([&] { NpyColumnWriter<float>(folder.path(), 1, 1); }), HasSubstr("is a directory"));
  EXPECT_EQ(files_in(folder.path()), 0U);
}

TEST(NpyColumns, CancelLeavesNoFile) {
  const TemporaryFolder folder;
  const Matrix<float> matrix = Matrix<float>::Random(1000, 3);
  std::stop_source stop;
  {
    NpyColumnWriter<float> writer(folder.path() / "y.npy", 1000, 6);
    writer.append(view(matrix), {.stop = stop.get_token()});
    stop.request_stop();
    EXPECT_THROW(writer.append(view(matrix), {.stop = stop.get_token()}), Cancelled);
  }
  EXPECT_EQ(files_in(folder.path()), 0U);
}

/// Runs in a process of its own: the limit on the size of files stands in for a disk that fills up meanwhile.
[[noreturn]] void write_until_the_disk_is_full(const std::filesystem::path& path) {
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{100'000, 100'000};
  setrlimit(RLIMIT_FSIZE, &limit);
  try {
    const Matrix<double> matrix = Matrix<double>::Ones(500, 50);
    write_in_blocks<double>(path, matrix, {20, 30});
  } catch (const FileError& error) {
    std::fputs(error.what(), stderr);
    std::_Exit(3);
  }
  std::_Exit(0);
}

TEST(NpyColumnsDeathTest, ADiskThatFillsUpLeavesTheTargetUntouched) {
  const TemporaryFolder folder;
  const auto path = folder.write("y.npy", "the old result");
  EXPECT_EXIT(write_until_the_disk_is_full(path), ::testing::ExitedWithCode(3), "y.npy: cannot be written: File too large");
  EXPECT_EQ(test::read_all(path), "the old result");
  EXPECT_EQ(files_in(folder.path()), 1U);
}

}  // namespace
}  // namespace convbasis
