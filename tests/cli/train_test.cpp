/// \file
/// `convscope train`: its numbers are the engine's, its options mean what they say, bad ones are refused in one line.

#include "cli/process.h"
#include "cli/safetensors_bytes.h"
#include "data/planted.h"
#include "training/curves.h"
#include "training/gradients.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <fstream>

namespace convscope::testing {
namespace {

using convbasis::Backward;
using convbasis::Between;
using convbasis::OneLayerProblem;
using convbasis::Optimiser;
using convbasis::TrainingOptions;
using convbasis::TrainingStep;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Words = std::vector<std::string>;

/// Runs `train` with these and --json; it must succeed and print one object and nothing else.
json json_of(Words arguments) {
  const TemporaryFolder folder;
  arguments.insert(arguments.begin(), "train");
  arguments.emplace_back("--json");
  const ProcessResult result = run_convscope(arguments, folder.path());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  return json::parse(result.out);
}

void expect_steps(const json& run, const std::vector<TrainingStep>& steps) {
  ASSERT_EQ(run["loss"].size(), steps.size());
  for (const TrainingStep& step : steps) {
    const auto at = static_cast<std::size_t>(step.step);
    EXPECT_EQ(run["loss"][at], step.loss);
    EXPECT_EQ(run["exact_loss"][at], step.exact_loss);
    EXPECT_EQ(run["gradient_norm"][at], step.gradient_norm);
    EXPECT_EQ(run["gradient_error"][at], step.gradient_error);
    EXPECT_EQ(run["k_found"][at], step.k_found);
    EXPECT_EQ(run["recovered"][at], step.recovered);
    EXPECT_GT(run["seconds"][at], 0.0);
  }
  EXPECT_EQ(run["final_loss"], steps.back().loss);
}

TEST(Train, NumbersAreTheEngines) {
  const json result = json_of({"--n",         "80",         "--d",       "8",      "--k",       "3",       "--T",
                               "5",           "--noise",    "0.001",     "--seed", "4",         "--steps", "12",
                               "--optimizer", "adam",       "--rate",    "0.02",   "--between", "basis",   "--recover-every",
                               "1,4",         "--backward", "conv,exact"});
  const auto problem = std::make_shared<const OneLayerProblem<double>>(
      convbasis::plant_one_layer<double>({.n = 80, .d = 8, .k = 3, .T = 5, .noise = 0.001, .seed = 4}));
  EXPECT_EQ(result["precision"], "f64");
  EXPECT_EQ(result["problem"]["starts"].get<std::vector<convbasis::Index>>(), problem->starts);
  EXPECT_EQ(result["problem"]["d_v"], 8);
  const json& runs = result["runs"];
  ASSERT_EQ(runs.size(), 3U);  // exact has no basis to recover
  TrainingOptions options{.optimiser = Optimiser::adam, .rate = 0.02, .between = Between::basis};
  const auto exact = convbasis::train(problem, options, 12);
  EXPECT_EQ(runs[0]["backward"], "exact");
  EXPECT_TRUE(runs[0]["recover_every"].is_null());
  expect_steps(runs[0], exact);
  options.backward = Backward::conv;
  for (const int every : {1, 4}) {
    const json& run = runs[every == 1 ? 1 : 2];
    options.recover_every = every;
    const auto steps = convbasis::train(problem, options, 12);
    expect_steps(run, steps);
    EXPECT_EQ(run["backward"], "conv");
    EXPECT_EQ(run["optimizer"], "adam");
    EXPECT_EQ(run["rate"], 0.02);
    EXPECT_EQ(run["parameters"], "tied");
    EXPECT_EQ(run["recover_every"], every);
    EXPECT_EQ(run["between"], "basis");
    EXPECT_EQ(run["recover"]["delta"], problem->recover.delta);
    EXPECT_EQ(run["largest_loss_difference"], convbasis::largest_loss_difference(steps, exact));
  }
}

TEST(Train, ByDefaultThreeRunsThatAgree) {
  const json result = json_of({"--n", "64", "--d", "8"});
  ASSERT_EQ(result["runs"].size(), 3U);
  for (const json& run : result["runs"]) {
    EXPECT_EQ(run["loss"].size(), 200U);
    EXPECT_LE(run["largest_loss_difference"].get<double>(), 0.01);  // the line
    EXPECT_LE(10.0 * run["final_loss"].get<double>(), run["loss"][0].get<double>());
  }
  EXPECT_EQ(result["step_times"], json::array());
}

TEST(Train, WithoutComparisonThereIsNothingToSay) {
  const json run = json_of({"--n", "64", "--d", "8", "--steps", "2", "--backward", "conv", "--no-compare"})["runs"][0];
  EXPECT_TRUE(run["exact_loss"][0].is_null());
  EXPECT_TRUE(run["gradient_error"][1].is_null());
  EXPECT_TRUE(run["largest_loss_difference"].is_null());
}

TEST(Train, FreeParametersAndSinglePrecision) {
  const json result =
      json_of({"--n", "64", "--d", "8", "--steps", "3", "--parameters", "free", "--precision", "f32", "--backward", "conv"});
  const auto problem = std::make_shared<const OneLayerProblem<float>>(convbasis::plant_one_layer<float>({.n = 64, .d = 8}));
  const auto steps = convbasis::train<float>(problem, {.backward = Backward::conv, .parameters = convbasis::Parameters::free}, 3);
  EXPECT_EQ(result["precision"], "f32");
  expect_steps(result["runs"][0], steps);
}

TEST(Train, TimesPerStep) {
  const json result = json_of({"--d", "4", "--time-per-step", "64,32", "--backward", "exact,conv"});
  EXPECT_EQ(result["runs"], json::array());
  const json& times = result["step_times"];
  ASSERT_EQ(times.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(times[i]["n"], i < 2 ? 32 : 64);
    EXPECT_EQ(times[i]["backward"], i % 2 == 0 ? "exact" : "conv");
    EXPECT_GT(times[i]["seconds"], 0.0);
    EXPECT_GE(times[i]["repeats"], 1);
  }
}

std::vector<std::string> lines_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

TEST(Train, WritesCsvAndPrintsATable) {
  const TemporaryFolder folder;
  const ProcessResult result = run_convscope(
      {"train", "--n", "64", "--d", "8", "--steps", "6", "--recover-every", "1,3", "--csv", "steps.csv"}, folder.path());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("loss at step"));
  EXPECT_THAT(result.out, HasSubstr("conv s=3"));
  const auto lines = lines_of(folder.path() / "steps.csv");
  ASSERT_EQ(lines.size(), 2U + 5U * 6U);  // exact, and the others with s = 1 and 3
  EXPECT_THAT(lines[0], StartsWith("# convscope "));
  EXPECT_EQ(lines[1], "backward,recover_every,step,loss,exact_loss,gradient_norm,gradient_error,k_found,recovered,seconds");
  EXPECT_THAT(lines[2], StartsWith("exact,1,0,"));
  EXPECT_THAT(lines.back(), StartsWith("conv,3,5,"));
}

TEST(Train, GradientsOfAHeadAreTheEngines) {
  const json result = json_of({"--head-gradients", "--planted", "k=3,n=90,d=8", "--k", "3", "--T", "6", "--delta", "0.4", "--eps",
                               "0.002", "--seed", "9"});
  const auto planted = convbasis::make_planted<double>(convbasis::parse_planted("k=3,n=90,d=8"));
  const auto gradient = convbasis::random_output_gradient<double>(90, 8, 9);
  const auto expected = convbasis::compare_gradients<double>(planted.head.view(), {.k = 3, .T = 6, .delta = 0.4, .eps = 0.002},
                                                             convbasis::view(gradient), convbasis::all_backwards);
  EXPECT_EQ(result["n"], 90);
  EXPECT_EQ(result["k_found"], expected.k_found);
  EXPECT_EQ(result["starts"].get<std::vector<convbasis::Index>>(), expected.starts);
  EXPECT_EQ(result["gradient_seed"], 9);
  ASSERT_EQ(result["gradients"].size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    const json& way = result["gradients"][i];
    EXPECT_EQ(way["backward"], convbasis::name_of(expected.ways[i].backward));
    EXPECT_EQ(way["query_error"], expected.ways[i].query_error);
    EXPECT_EQ(way["key_error"], expected.ways[i].key_error);
    EXPECT_EQ(way["value_error"], expected.ways[i].value_error);
    EXPECT_EQ(way["query_norm"], expected.ways[i].query.norm());
    EXPECT_GT(way["seconds"]["backward"], 0.0);
  }
}

TEST(Train, GradientsOfAHeadInAFile) {
  const TemporaryFolder folder;
  folder.write("input.safetensors", Activations{}.bytes());
  const ProcessResult result =
      run_convscope({"train", "--head-gradients", "input.safetensors", "--head", "1", "--n", "9"}, folder.path());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* word : {"input.safetensors", "n 9", "dQ error", "exact", "estimate", "conv"}) {
    EXPECT_THAT(result.out, HasSubstr(word));
  }
}

TEST(Train, BadOptionsAreRefusedInOneLine) {
  const TemporaryFolder folder;
  const std::vector<std::pair<Words, Words>> cases = {
      {{"--n", "0"}, {"n is 0"}},
      {{"--d", "7"}, {"d is 7", "even"}},
      {{"--k", "600"}, {"k is 600"}},
      {{"--T", "0"}, {"T is 0"}},
      {{"--noise", "50"}, {"noise is 50", "delta / (5 T)"}},
      {{"--seed", "-1"}, {"seed"}},
      {{"--backward", "exact,magic"}, {"magic", "exact, estimate or conv"}},
      {{"--optimizer", "sgd"}, {"sgd", "gd or adam"}},
      {{"--rate", "-1"}, {"rate is -1"}},
      {{"--rate", "0"}, {"rate is 0"}},
      {{"--rate", "nan"}, {"rate is nan"}},
      {{"--rate", "1e308"}, {"no longer finite", "rate is 1e+308"}},
      {{"--parameters", "bound"}, {"bound", "tied or free"}},
      {{"--steps", "0"}, {"steps is 0"}},
      {{"--recover-every", "1,0"}, {"recover_every is 0"}},
      {{"--between", "nothing"}, {"nothing", "starts or basis"}},
      {{"--time-per-step", "64,0"}, {"n is 0"}},
      {{"--time-per-step", "64", "--n", "32"}, {"--n", "--time-per-step"}},
      {{"--precision", "f16"}, {"f32", "f64"}},
      {{"--csv", "nowhere/steps.csv"}, {"--csv", "nowhere"}},
      {{"--planted", "k=3"}, {"--planted", "--head-gradients"}},
      {{"input.safetensors"}, {"FILE", "--head-gradients"}},
      {{"--eps", "0.1"}, {"--eps", "--head-gradients"}},
      {{"--head-gradients", "--steps", "5"}, {"--steps", "--head-gradients"}},
      {{"--head-gradients", "--planted", "n=20", "--k", "21"}, {"k is 21"}},
      {{"--head-gradients", "--planted", "n=20,colour=3"}, {"colour"}},
  };
  for (const auto& [arguments, words] : cases) {
    SCOPED_TRACE(::testing::PrintToString(arguments));
    Words all = arguments;
    all.insert(all.begin(), "train");
    const ProcessResult result = run_convscope(all, folder.path());
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, StartsWith("convscope: "));
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
    for (const std::string& word : words) EXPECT_THAT(result.err, HasSubstr(word));
  }
  EXPECT_EQ(folder.names(), Words{});
}

TEST(Train, AMissingFileIsABadInputFile) {
  const TemporaryFolder folder;
  const ProcessResult result = run_convscope({"train", "--head-gradients", "nowhere.safetensors"}, folder.path());
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("nowhere.safetensors"));
}

TEST(Train, StopsWhenInterrupted) {
  const TemporaryFolder folder;
  RunOptions options;
  options.signal = {SIGINT, std::chrono::milliseconds(300)};
  const ProcessResult result =
      run_convscope({"train", "--n", "2048", "--steps", "1000000", "--csv", "steps.csv"}, folder.path(), options);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "convscope: cancelled\n");
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(folder.names(), Words{});
}

}  // namespace
}  // namespace convscope::testing
