/// \file
/// Every bad input: one line on standard error that says what is wrong, the right exit code, nothing printed, nothing written.

#include "cli/process.h"
#include "cli/safetensors_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace convscope::testing {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Words = std::vector<std::string>;

constexpr int bad_usage = 2;
constexpr int bad_file = 3;

void expect_refused(const ProcessResult& result, int exit_code, const Words& words) {
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, StartsWith("convscope: "));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_THAT(result.err, EndsWith("\n"));
  for (const std::string& word : words) EXPECT_THAT(result.err, HasSubstr(word));
}

// --- files ---

struct BadFile {
  std::string name;  ///< of the test
  std::string bytes;
  Words words;  ///< that the message must hold besides the file's name
};

std::string truncated() {
  const std::string whole = Activations{}.bytes();
  return whole.substr(0, whole.size() - 5);
}

std::string header_larger_than_file() {
  std::string bytes = Activations{}.bytes();
  bytes[3] = 1;  // 16 MiB more than there is
  return bytes;
}

std::string header_length_that_wraps() { return std::string(8, '\xff') + Activations{}.bytes().substr(8); }

/// The good file with the byte range of one tensor replaced.
std::string with_offsets(const std::string& tensor, Index begin, Index end) {
  auto header = Activations{}.header();
  header[tensor]["data_offsets"] = {begin, end};
  return with_header(header.dump(), Activations{}.payload());
}

std::string with_dtype(const std::string& dtype) {
  Activations file;
  file.dtype = dtype;
  return file.bytes();
}

std::string with_key_tokens(Index tokens) {
  Activations file;
  file.key_n = tokens;
  return file.bytes();
}

std::string with_heads(Index heads, Index kv_heads) {
  Activations file;
  file.heads = heads;
  file.kv_heads = kv_heads;
  return file.bytes();
}

std::string with_value(float value) {
  Activations file;
  file.one_value = value;
  return file.bytes();
}

std::string with_huge_shape() {
  auto header = Activations{}.header();
  header["layers.0.q"]["shape"] = {Index{1} << 32, Index{1} << 32, 4};
  return with_header(header.dump(), Activations{}.payload());
}

std::string npy(const std::string& dictionary) {
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(dictionary.size()) + '\0' + dictionary;
}

const std::vector<BadFile> bad_files = {
    {"empty", "", {"empty"}},
    {"a_few_bytes", "abc", {}},
    {"wrong_magic", "This is a letter and no tensor file at all.\n", {"format"}},
    {"truncated", truncated(), {}},
    {"header_larger_than_file", header_larger_than_file(), {"header"}},
    {"header_length_that_wraps", header_length_that_wraps(), {"header"}},
    {"header_is_not_json", with_header("{\"layers.0.q\": nonsense}", ""), {"JSON"}},
    {"overlapping_tensors", with_offsets("layers.0.k", 0, 192), {"layers.0.k"}},
    {"tensor_out_of_range", with_offsets("layers.0.v", 576, 999999), {"layers.0.v"}},
    {"tensor_ends_before_it_begins", with_offsets("layers.0.k", 576, 384), {"layers.0.k"}},
    {"shape_that_overflows", with_huge_shape(), {"layers.0.q"}},
    {"unknown_dtype", with_dtype("F31"), {"layers.0.q", "F31"}},
    {"q_and_k_of_different_length", with_key_tokens(9), {"layers.0"}},
    {"heads_that_do_not_divide", with_heads(3, 2), {"3", "2"}},
    {"nan", with_value(std::numeric_limits<float>::quiet_NaN()), {"layers.0.q", "head 1, row 11, column 3", "nan"}},
    {"infinity", with_value(std::numeric_limits<float>::infinity()), {"layers.0.q", "head 1, row 11, column 3", "inf"}},
    {"npy_with_objects", npy("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }\n"), {"objects"}},
    {"zip_without_directory", "PK\x03\x04 and nothing more", {"list of its entries"}},
    {"old_pytorch", std::string("\x80\x02\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.", 15), {"old format", "weights_only=True"}},
    {"python_pickle", "\x80\x04\x95 a program", {"pickle", "never read"}},
    {"index_without_map", "{\"metadata\": {}}", {"weight_map"}},
    {"npy_truncated", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }\n"), {}},
};

void PrintTo(const BadFile& file, std::ostream* out) { *out << file.name; }

class BadFileTest : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadFileTest, IsRefused) {
  const TemporaryFolder folder;
  folder.write("input.bin", GetParam().bytes);
  // The value that is not a number stands in the last head.
  const ProcessResult result = run_convscope(
      {"analyze", "input.bin", "--head", "1", "--k", "2", "--T", "2", "--json", "--output", "y.npy"}, folder.path());
  Words words = GetParam().words;
  words.emplace_back("input.bin");
  expect_refused(result, bad_file, words);
  EXPECT_EQ(folder.names(), Words{"input.bin"});
}

INSTANTIATE_TEST_SUITE_P(Cli, BadFileTest, ::testing::ValuesIn(bad_files), [](const auto& test) { return test.param.name; });

TEST(BadFile, Missing) {
  const TemporaryFolder folder;
  for (const std::string verb : {"analyze", "inspect"}) {
    expect_refused(run_convscope({verb, "nowhere.safetensors"}, folder.path()), bad_file, {"nowhere.safetensors"});
  }
  expect_refused(run_convscope({"nowhere.safetensors"}, folder.path()), bad_file, {"nowhere.safetensors"});
  EXPECT_EQ(folder.names(), Words{});
}

TEST(BadFile, Directory) {
  const TemporaryFolder folder;
  for (const std::string verb : {"analyze", "inspect"}) {
    expect_refused(run_convscope({verb, "."}, folder.path()), bad_file, {"directory"});
  }
}

TEST(BadFile, NameCannotSteerTheTerminal) {
  const TemporaryFolder folder;
  const ProcessResult result = run_convscope({"analyze", "two\nlines\x1b[2J"}, folder.path());
  expect_refused(result, bad_file, {"two?lines?[2J"});
}

// --- arguments ---

struct BadArguments {
  std::string name;  ///< of the test
  Words arguments;   ///< after: analyze input.bin
  Words words;
};

const std::vector<BadArguments> bad_arguments = {
    {"k_zero", {"--k", "0"}, {"k", "0", "12"}},
    {"k_negative", {"--k", "-3"}, {"k", "-3", "12"}},
    {"k_above_n", {"--k", "13"}, {"k", "13", "12"}},
    {"T_zero", {"--T", "0"}, {"T", "0", "12"}},
    {"T_above_n", {"--T", "13"}, {"T", "13", "12"}},
    {"k_above_fewer_tokens", {"--k", "6", "--n", "5"}, {"k", "6", "5"}},
    {"eps_negative", {"--eps", "-0.1"}, {"eps", "-0.1"}},
    {"eps_nan", {"--eps", "nan"}, {"eps"}},
    {"delta_negative", {"--delta", "-1"}, {"delta", "-1"}},
    {"delta_infinite", {"--delta", "inf"}, {"delta"}},
    {"n_zero", {"--n", "0"}, {"n is 0", "1"}},
    {"n_negative", {"--n", "-1"}, {"n is -1", "1"}},
    {"n_above_file", {"--n", "13"}, {"13", "12"}},
    {"layer_unknown", {"--layer", "7"}, {"layer", "7", "0"}},
    {"head_unknown", {"--head", "2"}, {"head", "2"}},
    {"head_negative", {"--head", "-1"}, {"head", "-1"}},
    {"scale_nan", {"--scale", "nan"}, {"scale"}},
    {"method_unknown", {"--method", "magic"}, {"magic", "recover", "fit", "rank"}},
    {"fit_band_above_n", {"--method", "fit", "--band", "13"}, {"band", "13", "[0, 12]"}},
    {"fit_band_negative", {"--method", "fit", "--band", "-1"}, {"band", "-1", "[0, 12]"}},
    {"fit_columns_above_n", {"--method", "fit", "--columns", "13"}, {"columns", "13", "[0, 12]"}},
    {"fit_k_negative", {"--method", "fit", "--k", "-1"}, {"k", "-1", "0"}},
    {"fit_rounds_zero", {"--method", "fit", "--rounds", "0"}, {"rounds", "0", "1"}},
    {"fit_column_rule_unknown", {"--method", "fit", "--column-rule", "magic"}, {"column-rule", "whole", "outside-band"}},
    {"fit_with_T", {"--method", "fit", "--T", "4"}, {"--T", "recover"}},
    {"fit_with_delta", {"--method", "fit", "--delta", "0.5"}, {"--delta", "recover"}},
    {"rank_with_T", {"--method", "rank", "--T", "4"}, {"--T", "recover"}},
    {"rank_with_search", {"--method", "rank", "--search", "scan"}, {"--search", "recover"}},
    {"rank_with_band", {"--method", "rank", "--band", "4"}, {"--band", "--method fit", "--ladder"}},
    {"rank_k_zero", {"--method", "rank", "--k", "0"}, {"k is 0", "[1, 12]"}},
    {"rank_k_above_n", {"--method", "rank", "--k", "13"}, {"k is 13", "[1, 12]"}},
    {"rank_kind_unknown", {"--method", "rank", "--rank-kind", "magic"}, {"rank-kind", "svd", "features"}},
    {"rank_svd_with_degree", {"--method", "rank", "--rank-kind", "svd", "--degree", "2"}, {"--degree", "features"}},
    {"rank_features_with_k", {"--method", "rank", "--degree", "2", "--k", "4"}, {"--k", "svd", "--degree"}},
    {"rank_degree_negative", {"--method", "rank", "--degree", "-1"}, {"degree is -1", "[0, 16]"}},
    {"rank_degree_too_high", {"--method", "rank", "--degree", "17"}, {"degree is 17", "[0, 16]"}},
    {"recover_with_degree", {"--degree", "2"}, {"--degree", "--method rank"}},
    {"fit_with_rank_kind", {"--method", "fit", "--rank-kind", "svd"}, {"--rank-kind", "--method rank"}},
    {"recover_with_band", {"--band", "4"}, {"--band", "--method fit", "--ladder"}},
    {"recover_with_columns", {"--columns", "4"}, {"--columns", "--method fit", "--ladder"}},
    {"recover_with_rounds", {"--rounds", "4"}, {"--rounds", "--method fit", "--ladder"}},
    {"ladder_band_above_n", {"--ladder", "--band", "13"}, {"band", "13", "[0, 12]"}},
    {"search_unknown", {"--search", "magic"}, {"search", "binary", "scan"}},
    {"precision_unknown", {"--precision", "f16"}, {"precision", "f32", "f64"}},
    {"not_a_number", {"--k", "many"}, {"k", "many"}},
    {"too_large_a_number", {"--k", "99999999999999999999"}, {"k"}},
    {"threads_negative", {"--threads", "-1"}, {"threads"}},
    {"option_unknown", {"--colour"}, {"--colour"}},
    {"option_without_value", {"--k"}, {"k"}},
    {"v_alone", {"--v", "layers.0.v"}, {"query, key and value", "all three"}},
    {"attention_and_q", {"--attention", "a", "--q", "b", "--k-tensor", "c", "--v", "d"}, {"--attention", "--q"}},
    {"attention_kind_unknown", {"--attention-kind", "logits"}, {"--attention-kind", "probabilities", "scores"}},
    {"q_alone", {"--q", "layers.0.q"}, {"--q", "--k-tensor"}},
    {"output_in_no_folder", {"--output", "nowhere/y.npy"}, {"--output", "nowhere"}},
    {"output_is_folder", {"--exact-output", "."}, {"--exact-output"}},
    {"outputs_equal", {"--output", "y.npy", "--exact-output", "./y.npy"}, {"--output", "--exact-output"}},
    {"planted_and_file", {"--planted", "k=2"}, {"--planted", "FILE"}},
};

void PrintTo(const BadArguments& arguments, std::ostream* out) { *out << arguments.name; }

class BadArgumentsTest : public ::testing::TestWithParam<BadArguments> {};

TEST_P(BadArgumentsTest, AreRefused) {
  const TemporaryFolder folder;
  folder.write("input.bin", Activations{}.bytes());
  Words arguments = {"analyze", "input.bin", "--json"};
  arguments.insert(arguments.end(), GetParam().arguments.begin(), GetParam().arguments.end());
  expect_refused(run_convscope(arguments, folder.path()), bad_usage, GetParam().words);
  EXPECT_EQ(folder.names(), Words{"input.bin"});
}

INSTANTIATE_TEST_SUITE_P(Cli, BadArgumentsTest, ::testing::ValuesIn(bad_arguments),
                         [](const auto& test) { return test.param.name; });

TEST(BadArguments, OfOtherVerbs) {
  const TemporaryFolder folder;
  const std::vector<std::pair<Words, Words>> cases = {
      {{"inspect"}, {"FILE"}},
      {{"analyze", "--planted", "k=4,n=10"}, {"k is 4", "3"}},
      {{"analyze", "--planted", "colour=4"}, {"colour"}},
      {{"analyze", "--planted", "k=4", "--layer", "1"}, {"--planted", "--layer"}},
      {{"analyze", "--planted", "k=4,n=64", "--n", "65"}, {"--n", "65", "64"}},
      {{"analyze", "--planted", "k=4,n=64", "--n", "0"}, {"--n", "0"}},
      {{"analyze", "--planted", "k=4,n=64", "--streamed", "--n", "10"}, {"--n", "--planted"}},
      {{"--layer", "3", "analyze"}, {"--layer"}},
      {{"curve", "--n", "0"}, {"n", "0"}},
      {{"curve", "--n", "64,many"}, {"n", "many"}},
      {{"curve", "--n", "64", "--k", "65"}, {"k", "65", "64"}},
      {{"curve", "--n", "64", "--k", "2", "--d", "7"}, {"d", "7"}},
      {{"curve", "--csv", "nowhere/points.csv"}, {"--csv", "nowhere"}},
      {{"snapshot"}, {"--png"}},
      {{"snapshot", "--png", "p.png", "--size", "big"}, {"--size", "big"}},
      {{"snapshot", "--png", "p.png", "--size", "1600x0"}, {"--size", "1600x0"}},
  };
  for (const auto& [arguments, words] : cases) {
    SCOPED_TRACE(::testing::PrintToString(arguments));
    expect_refused(run_convscope(arguments, folder.path()), bad_usage, words);
  }
  EXPECT_EQ(folder.names(), Words{});
}

}  // namespace
}  // namespace convscope::testing
