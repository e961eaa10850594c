/// \file
/// What the verbs print and write when all is well, and what an interruption leaves behind.

#include "cli/process.h"
#include "cli/safetensors_bytes.h"
#include "data/planted.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <map>

namespace convscope::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Words = std::vector<std::string>;

/// Runs a verb that must succeed and print one JSON value on standard output and nothing else.
json json_of(const Words& arguments, const std::filesystem::path& folder) {
  const ProcessResult result = run_convscope(arguments, folder);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  return json::parse(result.out);
}

void expect_keys(const json& object, const Words& keys) {
  for (const std::string& key : keys) EXPECT_TRUE(object.contains(key)) << key;
}

/// What the product page promises of `analyze --json`, whatever the method.
const Words analysis_keys{"device",
                          "file",
                          "layer",
                          "head",
                          "kv_head",
                          "n",
                          "d",
                          "scale",
                          "method",
                          "k_requested",
                          "k_found",
                          "T",
                          "delta",
                          "eps",
                          "monotone",
                          "starts",
                          "relative_error",
                          "max_abs_error",
                          "bound",
                          "mean_total_variation",
                          "heldout_error",
                          "ladder",
                          "rescued_rows",
                          "seconds",
                          "path"};

TEST(Analyze, FindsPlantedStarts) {
  const TemporaryFolder folder;
  const std::string specification = "k=5,n=700,d=16,T=8,seed=3";
  const json result = json_of({"analyze", "--planted", specification, "--json"}, folder.path());
  expect_keys(result, analysis_keys);
  expect_keys(result["seconds"], {"load", "exact", "recover", "apply"});
  const auto planted = convbasis::make_planted<float>(convbasis::parse_planted(specification));
  EXPECT_EQ(result["starts"].get<std::vector<Index>>(), planted.starts);
  EXPECT_EQ(result["n"], 700);
  EXPECT_EQ(result["d"], 16);
  EXPECT_EQ(result["method"], "recover");
  EXPECT_EQ(result["k_requested"], 16);
  EXPECT_EQ(result["k_found"], 5);
  EXPECT_EQ(result["monotone"], true);
  EXPECT_LE(result["relative_error"].get<double>(), 1e-5);  // the issue's limit for float
  EXPECT_EQ(result["total_variation_rows"], 700);
  EXPECT_TRUE(result["heldout_error"].is_null());
  EXPECT_EQ(result["ladder"], json::array());
}

TEST(Analyze, DoubleIsFarCloserThanFloat) {
  const TemporaryFolder folder;
  const json result = json_of({"analyze", "--planted", "k=4,n=300,d=8", "--precision", "f64", "--json"}, folder.path());
  EXPECT_EQ(result["precision"], "f64");
  EXPECT_LE(result["relative_error"].get<double>(), 1e-11);  // the issue's limit for double
}

TEST(Analyze, BoundOnlyWhereItsConditionHolds) {
  const TemporaryFolder folder;
  const Words planted = {"analyze", "--planted", "k=2,n=100,d=8", "--json", "--T", "8", "--delta", "0.4"};
  Words holds = planted, fails = planted;
  holds.insert(holds.end(), {"--eps", "0.009"});  // delta / (5 T) = 0.01
  fails.insert(fails.end(), {"--eps", "0.011"});
  EXPECT_TRUE(json_of(holds, folder.path())["bound"].is_number());
  EXPECT_TRUE(json_of(fails, folder.path())["bound"].is_null());
}

TEST(Analyze, DefaultsFitAShortInput) {
  const TemporaryFolder folder;
  Activations file;
  file.n = 3;
  folder.write("short.safetensors", file.bytes());
  const json result = json_of({"analyze", "short.safetensors", "--json"}, folder.path());
  EXPECT_EQ(result["k_requested"], 3);
  EXPECT_EQ(result["T"], 3);
}

TEST(Analyze, ReadsHeadScaleAndName) {
  const TemporaryFolder folder;
  Activations file;
  file.metadata = {{"scale", "0.75"}, {"model", "a small model"}};
  folder.write("model.safetensors", file.bytes());
  const json result =
      json_of({"analyze", "model.safetensors", "--layer", "0", "--head", "1", "--n", "7", "--json"}, folder.path());
  EXPECT_THAT(result["file"].get<std::string>(), HasSubstr("model.safetensors"));
  EXPECT_EQ(result["model"], "a small model");
  EXPECT_EQ(result["head"], 1);
  EXPECT_EQ(result["kv_head"], 0);
  EXPECT_EQ(result["n"], 7);
  EXPECT_EQ(result["scale"], 0.75);
  EXPECT_EQ(json_of({"analyze", "model.safetensors", "--scale", "0.5", "--json"}, folder.path())["scale"], 0.5);
}

/// Everything after the header of a version 1.0 npy file.
std::string npy_payload(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const auto byte = [&](std::size_t at) { return static_cast<std::size_t>(static_cast<unsigned char>(bytes.at(at))); };
  return bytes.substr(10 + byte(8) + 256 * byte(9));
}

TEST(Analyze, WritesBothOutputs) {
  const TemporaryFolder folder;
  const Words arguments = {"analyze", "--planted", "k=3,n=50,d=8", "--output", "conv.npy", "--exact-output", "exact.npy"};
  const ProcessResult result = run_convscope(arguments, folder.path());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(folder.names(), (Words{"conv.npy", "exact.npy"}));
  EXPECT_EQ(npy_payload(folder.path() / "conv.npy").size(), 50U * 8U * 4U);
  EXPECT_EQ(npy_payload(folder.path() / "exact.npy").size(), 50U * 8U * 4U);
  EXPECT_NE(npy_payload(folder.path() / "conv.npy"), npy_payload(folder.path() / "exact.npy"));
}

TEST(Analyze, FitsBandColumnsAndLagVectors) {
  const TemporaryFolder folder;
  const json result = json_of({"analyze", "--planted", "k=3,n=200,d=16,seed=3", "--method", "fit", "--band", "8", "--columns",
                               "2", "--k", "2", "--rounds", "6", "--precision", "f64", "--output", "y.npy", "--json"},
                              folder.path());
  expect_keys(result, analysis_keys);
  expect_keys(result, {"band", "columns", "rounds", "objective"});
  expect_keys(result["seconds"], {"load", "exact", "recover", "fit", "apply"});
  EXPECT_EQ(result["method"], "fit");
  EXPECT_EQ(result["band"], 8);
  EXPECT_EQ(result["columns"].size(), 2U);
  EXPECT_EQ(result["k_found"], 2);
  EXPECT_EQ(result["starts"].size(), 2U);
  EXPECT_EQ(result["monotone"], true);
  EXPECT_LE(result["rounds"], 6);
  EXPECT_TRUE(result["T"].is_null());
  std::vector<std::string> keys;
  for (const json& rung : result["ladder"]) {
    keys.push_back(rung["key"]);
    expect_keys(rung, {"key", "band", "columns", "k", "rank", "error", "heldout_error", "cost", "seconds"});
  }
  EXPECT_THAT(keys, ::testing::ElementsAre("columns", "band", "rest_mass", "rank_one", "one_lag_vector", "lag_vectors",
                                           "wider_band", "nonnegative_rank", "truncated_svd"));
  // The fit is the top rung.
  EXPECT_NEAR(result["ladder"][5]["error"].get<double>(), result["relative_error"].get<double>(), 1e-12);
  EXPECT_NEAR(result["ladder"][5]["heldout_error"].get<double>(), result["heldout_error"].get<double>(), 1e-12);
  EXPECT_TRUE(result["ladder"][8]["heldout_error"].is_null());
  EXPECT_EQ(folder.names(), Words{"y.npy"});
}

TEST(Analyze, AFitWithEverythingExactHasNoError) {
  const TemporaryFolder folder;
  for (const Words& exact : {Words{"--band", "50", "--columns", "0"}, Words{"--band", "0", "--columns", "50"}}) {
    Words arguments = {"analyze", "--planted", "k=3,n=50,d=8", "--method", "fit", "--k", "0", "--precision", "f64", "--json"};
    arguments.insert(arguments.end(), exact.begin(), exact.end());
    const json result = json_of(arguments, folder.path());
    EXPECT_LE(result["relative_error"].get<double>(), 1e-13);
    EXPECT_EQ(result["k_found"], 0);
    EXPECT_EQ(result["starts"], json::array());
  }
}

TEST(Analyze, TheLadderStandsBesideRecoverWhenAsked) {
  const TemporaryFolder folder;
  const json result = json_of({"analyze", "--planted", "k=3,n=100,d=8", "--ladder", "--band", "4", "--json"}, folder.path());
  EXPECT_EQ(result["method"], "recover");
  EXPECT_TRUE(result["heldout_error"].is_null());
  EXPECT_EQ(result["ladder"].size(), 9U);
  EXPECT_EQ(result["ladder"][1]["band"], 4);
}

TEST(Analyze, ByTruncatedSvd) {
  const TemporaryFolder folder;
  const Words base = {"analyze", "--planted", "k=3,n=200,d=16,seed=3", "--method", "rank", "--precision", "f64", "--json"};
  const auto with = [&](const Words& more) {
    Words arguments = base;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return json_of(arguments, folder.path());
  };
  const json result = with({"--k", "12", "--output", "y.npy"});
  expect_keys(result, analysis_keys);
  expect_keys(result, {"rank_kind", "degree", "features", "singular_values", "unmasked_error"});
  expect_keys(result["seconds"], {"load", "exact", "recover", "rank", "apply"});
  EXPECT_EQ(result["method"], "rank");
  EXPECT_EQ(result["rank_kind"], "svd");
  EXPECT_EQ(result["k_requested"], 12);
  EXPECT_EQ(result["k_found"], 12);
  EXPECT_EQ(result["singular_values"].size(), 12U);
  EXPECT_EQ(result["starts"], json::array());
  EXPECT_EQ(result["ladder"], json::array());
  for (const char* key : {"degree", "features", "T", "delta", "eps", "monotone", "bound", "heldout_error", "max_score_error"}) {
    EXPECT_TRUE(result[key].is_null()) << key;
  }
  EXPECT_EQ(folder.names(), Words{"y.npy"});
  EXPECT_EQ(with({})["k_requested"], 16);
  // All singular values: everything.
  EXPECT_LE(with({"--k", "200"})["relative_error"].get<double>(), 1e-12);
  EXPECT_EQ(with({"--ladder"})["ladder"].size(), 9U);
}

TEST(Analyze, ByPolynomialFeatures) {
  const TemporaryFolder folder;
  const Words base = {"analyze", "--planted", "k=3,n=200,d=16,seed=3", "--method", "rank", "--json"};
  const auto with = [&](const Words& more) {
    Words arguments = base;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return json_of(arguments, folder.path());
  };
  const json result = with({"--rank-kind", "features"});
  expect_keys(result, analysis_keys);
  EXPECT_EQ(result["rank_kind"], "features");
  EXPECT_EQ(result["degree"], 2);
  EXPECT_EQ(result["features"], 153);  // C(16 + 2, 2)
  EXPECT_EQ(result["k_found"], 153);
  EXPECT_EQ(result["rows_not_positive"], 0);
  EXPECT_TRUE(result["k_requested"].is_null());
  EXPECT_TRUE(result["unmasked_error"].is_null());
  const json three = with({"--degree", "3"});  // says which kind
  EXPECT_EQ(three["rank_kind"], "features");
  EXPECT_EQ(three["features"], 969);
  EXPECT_LT(three["relative_error"].get<double>(), result["relative_error"].get<double>());
}

TEST(Analyze, LowRankOfALongHeadIsOfFeaturesUnlessAskedOtherwise) {
  const TemporaryFolder folder;
  const Words base = {"analyze", "--planted", "k=2,n=4100,d=4", "--method", "rank", "--json"};
  EXPECT_EQ(json_of(base, folder.path())["rank_kind"], "features");
  Words asked = base;
  asked.insert(asked.end(), {"--k", "4"});
  const ProcessResult refused = run_convscope(asked, folder.path());
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("at most 4096 tokens; this head has 4100"));
}

TEST(Analyze, PrintsLowRankForPeople) {
  const TemporaryFolder folder;
  const auto text = [&](const Words& more) {
    Words arguments = {"analyze", "--planted", "k=3,n=50,d=8", "--method", "rank"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProcessResult result = run_convscope(arguments, folder.path());
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  };
  for (const char* words : {"truncated SVD of rank 5", "singular values", "unmasked error", "relative error"}) {
    EXPECT_THAT(text({"--k", "5"}), HasSubstr(words));
  }
  for (const char* words : {"45 features of degree 2", "rows not positive", "polynomial"}) {
    EXPECT_THAT(text({"--degree", "2"}), HasSubstr(words));
  }
}

TEST(Analyze, PrintsTheLadderForPeople) {
  const TemporaryFolder folder;
  const ProcessResult result = run_convscope({"analyze", "--planted", "k=3,n=100,d=8", "--method", "fit"}, folder.path());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* text : {"held-out error", "exact columns", "16 lag vectors", "non-negative rank", "cost: multiply-adds"}) {
    EXPECT_THAT(result.out, HasSubstr(text));
  }
}

TEST(Analyze, PrintsATable) {
  const TemporaryFolder folder;
  const ProcessResult result = run_convscope({"analyze", "--planted", "k=3,n=50,d=8"}, folder.path());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  for (const char* word : {"n 50, d 8", "3 / 16", "relative error", "max abs error", "bound", "mean total variation", "load"}) {
    EXPECT_THAT(result.out, HasSubstr(word));
  }
}

TEST(Inspect, ListsTensorsAndHeads) {
  const TemporaryFolder folder;
  Activations file;
  file.metadata = {{"scale", "0.75"}, {"model", "a small model"}, {"tokens", R"(["a","b","c"])"}};
  file.n = 3;
  folder.write("model.safetensors", file.bytes());
  const json result = json_of({"inspect", "model.safetensors", "--json"}, folder.path());
  ASSERT_EQ(result["files"].size(), 1U);
  EXPECT_EQ(result["files"][0]["format"], "safetensors");
  ASSERT_EQ(result["files"][0]["tensors"].size(), 3U);
  const json& query = result["files"][0]["tensors"][0];
  EXPECT_EQ(query["name"], "layers.0.q");
  EXPECT_EQ(query["dtype"], "f32");
  EXPECT_EQ(query["shape"], (std::vector<Index>{2, 3, 4}));
  EXPECT_EQ(query["bytes"], 2 * 3 * 4 * 4);
  EXPECT_EQ(result["model"], "a small model");
  EXPECT_EQ(result["scale"], 0.75);
  EXPECT_EQ(result["tokens"], 3);
  ASSERT_EQ(result["layers"].size(), 1U);
  EXPECT_EQ(result["layers"][0]["heads"], 2);
  EXPECT_EQ(result["layers"][0]["kv_heads"], 1);
  EXPECT_EQ(result["layers"][0]["n"], 3);
  EXPECT_NE(result["layers"][0]["why"], "");
  EXPECT_EQ(query["order"], "row-major");
  EXPECT_EQ(query["use"], "query of layer 0");
  EXPECT_EQ(result["layers"][0]["kind"], "query_key");
  EXPECT_EQ(result["layers"][0]["bias"], nullptr);
}

/// The bytes of a safetensors file of float32 tensors of these names and shapes, all numbers 0.
std::string zeros(const std::vector<std::pair<std::string, std::vector<Index>>>& tensors) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  Index end = 0;
  for (const auto& [name, shape] : tensors) {
    Index bytes = 4;
    for (const Index axis : shape) bytes *= axis;
    header[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {end, end + bytes}}};
    end += bytes;
  }
  return with_header(header.dump(), std::string(static_cast<std::size_t>(end), '\0'));
}

TEST(Inspect, SaysWhyTensorsWereNotTakenAndWhatSettlesIt) {
  const TemporaryFolder folder;
  folder.write("odd.safetensors", zeros({{"layers.0.q_rot", {2, 3, 4}},
                                         {"layers.0.k", {2, 3, 4}},
                                         {"layers.0.v", {2, 3, 4}},
                                         {"norm.weight", {4}},
                                         {"line", {4}},
                                         {"hidden", {3, 4}}}));
  const json result = json_of({"inspect", "odd.safetensors", "--json"}, folder.path());
  std::map<std::string, std::string> uses;
  for (const json& tensor : result["files"][0]["tensors"]) {
    EXPECT_EQ(tensor["used"], false);
    uses[tensor["name"]] = tensor["use"];
  }
  EXPECT_EQ(uses["layers.0.q_rot"],
            "not taken: its name says query, but there is no key and no value of the same name otherwise");
  EXPECT_EQ(uses["layers.0.v"], "not taken: its name says value, but there is no query of the same name otherwise");
  EXPECT_EQ(uses["norm.weight"], "not taken: a model's parameter, by its name");
  EXPECT_EQ(uses["line"], "not taken: has 1 axes, not 2 to 4");
  EXPECT_EQ(uses["hidden"], "not taken: no word of its name is query, key or value (q, k, v), nor is it square");
  const ProcessResult text = run_convscope({"inspect", "odd.safetensors"}, folder.path());
  for (const char* word : {"--q NAME", "--attention NAME", "{L}"}) EXPECT_THAT(text.out, HasSubstr(word));
  const json settled = json_of(
      {"inspect", "odd.safetensors", "--q", "layers.{L}.q_rot", "--k-tensor", "layers.{L}.k", "--v", "layers.{L}.v", "--json"},
      folder.path());
  EXPECT_EQ(settled["layers"][0]["query"], "layers.0.q_rot");
  EXPECT_EQ(settled["files"][0]["tensors"][0]["use"], "query of layer 0");
}

TEST(Inspect, AttentionMatrices) {
  const TemporaryFolder folder;
  folder.write("attn.safetensors", zeros({{"attn", {2, 3, 3}}, {"q", {2, 3, 4}}, {"k", {2, 3, 4}}, {"v", {2, 3, 4}}}));
  const json both = json_of({"inspect", "attn.safetensors", "--json"}, folder.path());
  EXPECT_EQ(both["layers"][0]["kind"], "query_key");
  EXPECT_EQ(both["files"][0]["tensors"][0]["use"], "not taken: could be attention matrices, but queries and keys go first");
  const json named =
      json_of({"inspect", "attn.safetensors", "--attention", "attn", "--attention-kind", "scores", "--json"}, folder.path());
  EXPECT_EQ(named["layers"][0]["kind"], "attention");
  EXPECT_EQ(named["layers"][0]["attention_kind"], "scores");
  EXPECT_EQ(named["layers"][0]["value"], "v");
  EXPECT_EQ(named["files"][0]["tensors"][0]["use"], "attention of layer 0");
  const json analyzed = json_of(
      {"analyze", "attn.safetensors", "--attention", "attn", "--attention-kind", "scores", "--k", "1", "--T", "1", "--json"},
      folder.path());
  EXPECT_EQ(analyzed["n"], 3);
}

TEST(Inspect, ListsTensorsWhereNoHeadIsFound) {
  const TemporaryFolder folder;
  folder.write("other.safetensors",
               with_header(R"({"weights":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", float_bytes({1.0F, 2.0F})));
  const json result = json_of({"inspect", "other.safetensors", "--json"}, folder.path());
  EXPECT_EQ(result["files"][0]["tensors"][0]["name"], "weights");
  EXPECT_EQ(result["layers"], json::array());
  EXPECT_NE(result["why_no_heads"], "");
}

TEST(Inspect, NamesInFilesCannotSteerTheTerminal) {
  const TemporaryFolder folder;
  folder.write("evil.safetensors",
               with_header(R"({"a\u001b[2Jb":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", float_bytes({1.0F})));
  const ProcessResult result = run_convscope({"inspect", "evil.safetensors"}, folder.path());
  EXPECT_EQ(result.out.find('\x1b'), std::string::npos);
}

TEST(Curve, MeasuresEveryMethod) {
  const TemporaryFolder folder;
  const json result = json_of({"curve", "--n", "64,128", "--k", "2", "--d", "8", "--csv", "points.csv", "--json"}, folder.path());
  expect_keys(result["machine"], {"cpu", "threads", "instruction_set", "version"});
  std::set<std::pair<std::string, Index>> measured;
  for (const json& point : result["points"]) {
    expect_keys(point,
                {"method", "n", "k", "d", "precision", "seconds", "seconds_min", "seconds_max", "repeats", "extrapolated"});
    measured.emplace(point["method"], point["n"].get<Index>());
    EXPECT_GT(point["seconds"].get<double>(), 0.0);
    EXPECT_LE(point["seconds_min"].get<double>(), point["seconds"].get<double>());
    EXPECT_GE(point["seconds_max"].get<double>(), point["seconds"].get<double>());
    EXPECT_GE(point["repeats"].get<int>(), 1);
    EXPECT_EQ(point["extrapolated"], false);
  }
  for (const char* method : {"exact", "conv_full", "conv_partitioned", "planned", "rank"}) {
    for (const Index n : {64, 128}) EXPECT_TRUE(measured.contains({method, n})) << method << " " << n;
  }
  std::ifstream csv(folder.path() / "points.csv");
  const Words lines = [&] {
    Words all;
    for (std::string line; std::getline(csv, line);) all.push_back(line);
    return all;
  }();
  ASSERT_EQ(lines.size(), 2 + result["points"].size());
  EXPECT_THAT(lines[0], StartsWith("# convscope "));
  EXPECT_EQ(lines[1], "method,n,k,d,precision,seconds,seconds_min,seconds_max,repeats,extrapolated");
}

TEST(Curve, PrintsSpeedAgainstExact) {
  const TemporaryFolder folder;
  const ProcessResult result = run_convscope({"curve", "--n", "64", "--k", "2", "--d", "8"}, folder.path());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("speed-up"));
  EXPECT_THAT(result.out, HasSubstr("1x"));
}

TEST(Doctor, TellsWhatIsThere) {
  const TemporaryFolder folder;
  const json result = json_of({"doctor", "--json"}, folder.path());
  expect_keys(result, {"version", "fft", "eigen", "compiler", "cpu", "threads", "instruction_set"});
  EXPECT_GE(result["threads"].get<int>(), 1);
  for (const char* finding : {"gl_renderer", "cuda", "example", "calibration"}) {
    EXPECT_TRUE(result[finding]["found"].is_boolean()) << finding;
    EXPECT_NE(result[finding]["why"], "") << finding;
  }
}

TEST(Help, ListsTheVerbsOfThisVersion) {
  const TemporaryFolder folder;
  const ProcessResult help = run_convscope({"--help"}, folder.path());
  EXPECT_EQ(help.exit_code, 0);
  for (const char* verb : {"inspect", "analyze", "curve", "snapshot", "doctor"}) EXPECT_THAT(help.out, HasSubstr(verb));
  EXPECT_THAT(run_convscope({"--version"}, folder.path()).out, StartsWith("convscope "));
  EXPECT_THAT(run_convscope({"analyze", "--help"}, folder.path()).out, HasSubstr("--exact-output"));
}

TEST(Output, ThatCannotBePrintedIsFailedWork) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full on this system";
  const TemporaryFolder folder;
  const ProcessResult result = run_convscope({"doctor"}, folder.path(), {.out = "/dev/full"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, StartsWith("convscope: "));
}

/// Exact attention of 65536 tokens takes seconds on any machine, so the signal comes in the middle of the work.
const Words long_analysis = {"analyze", "--planted", "n=65536,d=64,k=4", "--precision", "f64", "--output", "y.npy", "--json"};

class Interrupt : public ::testing::TestWithParam<int> {};

TEST_P(Interrupt, StopsSoonAndLeavesNoFile) {
  const TemporaryFolder folder;
  const ProcessResult result =
      run_convscope(long_analysis, folder.path(), {.signal = Signal{GetParam(), std::chrono::seconds(1)}});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "convscope: cancelled\n");
  EXPECT_LT(result.after_signal.count(), 2.0);  // 0.1 s is meant; a loaded machine may need longer to let it run
  EXPECT_EQ(folder.names(), Words{});
}

INSTANTIATE_TEST_SUITE_P(Cli, Interrupt, ::testing::Values(SIGINT, SIGTERM));

}  // namespace
}  // namespace convscope::testing
