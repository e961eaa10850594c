/// \file
/// `analyze` by blocks of columns: what it prints and writes, what it refuses, and what an interruption leaves behind.

#include "cli/process.h"
#include "data/planted_values.h"
#include "data/tensor_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <csignal>

namespace convscope::testing {
namespace {

using convbasis::Index;
using nlohmann::json;
using ::testing::HasSubstr;
using Words = std::vector<std::string>;

Words analyze(const std::string& planted, const Words& more) {
  Words words = {"analyze", "--planted", planted};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

json json_of(const Words& arguments, const TemporaryFolder& folder) {
  const ProcessResult result = run_convscope(arguments, folder.path());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  return json::parse(result.out);
}

TEST(Streamed, PrintsTheKeysOfTheOrdinaryAnalysisAndItsOwn) {
  const TemporaryFolder folder;
  const std::string planted = "k=5,n=700,d=80,seed=3";
  const json ordinary = json_of(analyze(planted, {"--json"}), folder);
  const json result = json_of(analyze(planted, {"--streamed", "--json"}), folder);
  EXPECT_TRUE(ordinary["streamed"].is_null());
  for (const auto& [key, value] : ordinary.items()) EXPECT_TRUE(result.contains(key)) << key;
  for (const auto& [key, value] : ordinary["seconds"].items()) EXPECT_TRUE(result["seconds"].contains(key)) << key;
  EXPECT_EQ(result["n"], 700);
  EXPECT_EQ(result["d"], 80);
  EXPECT_EQ(result["d_v"], 80);
  EXPECT_EQ(result["k_found"], 5);
  EXPECT_EQ(result["starts"], result["planted"]["starts"]);
  EXPECT_EQ(result["scale"], 0.125) << "the scores have width 64";
  for (const char* key : {"relative_error", "max_abs_error", "bound", "mean_total_variation"}) EXPECT_TRUE(result[key].is_null());
  EXPECT_TRUE(result["seconds"]["exact"].is_null());
  const json& streamed = result["streamed"];
  EXPECT_EQ(streamed["score_width"], 64);
  EXPECT_EQ(streamed["column_blocks"], 2);
  EXPECT_EQ(streamed["block_columns"], 64);
  EXPECT_EQ(streamed["rows_sampled"], 64);
  EXPECT_LE(streamed["relative_error_sampled"].get<double>(), 1e-5);   // the limit for float
  EXPECT_LE(streamed["worst_row_error_sampled"].get<double>(), 1e-4);  // a row may be smaller than the typical one
  EXPECT_EQ(streamed["exact"]["extrapolated"], true);
  EXPECT_GT(streamed["exact"]["seconds"].get<double>(), streamed["exact"]["measured_seconds"].get<double>());
  EXPECT_GT(streamed["tokens_per_second"].get<double>(), 0.0);
  EXPECT_GT(streamed["equivalent_gflops"].get<double>(), 0.0);
  EXPECT_GT(streamed["speed_up"].get<double>(), 0.0);
  EXPECT_GT(streamed["memory"]["estimated_bytes"].get<double>(), 0.0);
  for (const char* key : {"available_bytes", "peak_bytes"}) EXPECT_TRUE(streamed["memory"].contains(key));
}

template <convbasis::Real T>
void expect_file(const std::string& precision) {
  const TemporaryFolder folder;
  const ProcessResult result = run_convscope(
      analyze("k=3,n=200,d=100,seed=6", {"--streamed", "--output", "y.npy", "--precision", precision}), folder.path());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(folder.names(), Words{"y.npy"});
  const auto file = convbasis::open_tensor_file(folder.path() / "y.npy");
  ASSERT_EQ(file->tensors()[0].shape, (std::vector<Index>{200, 100}));
  convbasis::Matrix<T> output(200, 100), first(1, 100);
  file->template read<T>(file->tensors()[0], 0, std::span(output.data(), 20000));
  // The first token sees itself only.
  convbasis::make_values<T>(6, 0, 0, convbasis::mutable_view(first));
  const double tolerance = std::same_as<T, float> ? 1e-4 : 1e-12;  // of rescue, in a row as large as the largest
  EXPECT_LE(static_cast<double>((output.topRows(1) - first).cwiseAbs().maxCoeff()), tolerance);
}

TEST(Streamed, WritesAFileThatOurReaderReads) {
  expect_file<float>("f32");
  expect_file<double>("f64");
}

TEST(Streamed, TableNamesTheEstimateBeforeAndTheExtrapolationAfter) {
  const TemporaryFolder folder;
  const ProcessResult result = run_convscope(analyze("k=3,n=300,d=80", {"--streamed"}), folder.path());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "") << "no progress where there is no terminal";
  for (const char* words : {"scores from Q and K of width 64", "2 of 64 columns", "memory needed", "over 64 sampled rows",
                            "tokens/s", "GF/s", "(extrapolated)"}) {
    EXPECT_THAT(result.out, HasSubstr(words));
  }
  EXPECT_LT(result.out.find("memory needed"), result.out.find("relative error"));
}

void expect_refused(const Words& arguments, int exit_code, const std::string& words) {
  const TemporaryFolder folder;
  const ProcessResult result = run_convscope(arguments, folder.path());
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr(words));
  EXPECT_EQ(folder.names(), Words{});
}

TEST(Streamed, RefusesWhatItCannotDo) {
  expect_refused({"analyze", "--streamed"}, 2, "--planted");
  expect_refused(analyze("n=100", {"--streamed", "--exact-output", "y.npy"}), 2, "--exact-output needs exact attention");
  expect_refused(analyze("n=1000000,d=65", {}), 2, "d is 65");
  expect_refused(analyze("n=2000000000,d=64", {}), 1, "GB of memory and ");
  // 2^30 columns: more than any disk of today, and little memory.
  expect_refused(analyze("n=20000,d=1073741824", {"--output", "y.npy", "--json"}), 1, "but the disk has ");
}

/// Some twenty seconds of work; it streams because of its size alone.
const Words long_run = analyze("k=8,n=100000,d=8192", {"--output", "y.npy", "--json"});

class StreamedInterrupt : public ::testing::TestWithParam<int> {};

TEST_P(StreamedInterrupt, StopsSoonAndLeavesNoFile) {
  const TemporaryFolder folder;
  const ProcessResult result = run_convscope(long_run, folder.path(), {.signal = Signal{GetParam(), std::chrono::seconds(2)}});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "convscope: cancelled\n");
  EXPECT_LT(result.after_signal.count(), 2.0);  // 0.1 s is meant; a loaded machine may need longer to let it run
  EXPECT_EQ(folder.names(), Words{});
}

INSTANTIATE_TEST_SUITE_P(Cli, StreamedInterrupt, ::testing::Values(SIGINT, SIGTERM));

}  // namespace
}  // namespace convscope::testing
