/// \file
/// --device: a GPU whose module is run on the CPU gives what the CPU gives, and one that is not there is a clear error.

#include "cli/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdlib>

#include <fstream>
#include <set>

namespace convscope::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Words = std::vector<std::string>;

constexpr const char* module_variable = "CONVSCOPE_CUDA_MODULE";

/// The program finds this module as long as the object lives.
class Module {
 public:
  explicit Module(const char* path) { setenv(module_variable, path, 1); }
  ~Module() { unsetenv(module_variable); }
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
};

json analysis(const TemporaryFolder& folder, const std::string& device, const Words& more = {}) {
  Words words = {"analyze", "--planted", "k=4,n=300,d=16", "--device", device, "--json"};
  words.insert(words.end(), more.begin(), more.end());
  const ProcessResult result = run_convscope(words, folder.path());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  return json::parse(result.out);
}

/// The numbers of an npy file of float32, after its header.
std::vector<float> numbers(const std::filesystem::path& path, std::size_t count) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(-static_cast<std::streamoff>(count * sizeof(float)), std::ios::end);
  std::vector<float> result(count);
  file.read(reinterpret_cast<char*>(result.data()), static_cast<std::streamsize>(count * sizeof(float)));
  EXPECT_TRUE(file) << path;
  return result;
}

double difference(const TemporaryFolder& folder, const std::string& name, const std::string& other) {
  constexpr std::size_t count = 300 * 16;
  const std::vector<float> a = numbers(folder.path() / name, count);
  const std::vector<float> b = numbers(folder.path() / other, count);
  double error = 0.0, size = 0.0;
  for (std::size_t i = 0; i < count; ++i) {
    error += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(error / size);
}

TEST(Device, TheGpuGivesWhatTheCpuGives) {
  const TemporaryFolder folder;
  const Module module(CUDA_HOST_MODULE);
  const json cpu = analysis(folder, "cpu", {"--output", "cpu.npy", "--exact-output", "cpu_exact.npy"});
  const json gpu = analysis(folder, "gpu0", {"--output", "gpu.npy", "--exact-output", "gpu_exact.npy"});
  EXPECT_EQ(cpu["device"], "CPU");
  const std::string name = gpu["device"];
  EXPECT_THAT(name, StartsWith("GPU 0 ("));
  EXPECT_THAT(gpu["path"].get<std::string>(), HasSubstr(name));
  EXPECT_THAT(cpu["path"].get<std::string>(), ::testing::Not(HasSubstr("GPU")));
  EXPECT_EQ(gpu["starts"], cpu["starts"]);
  EXPECT_NEAR(gpu["relative_error"].get<double>(), cpu["relative_error"].get<double>(), 1e-6);
  // Sums of some hundred products in float, in another order.
  for (const auto& [one, other] : {std::pair("gpu.npy", "cpu.npy"), std::pair("gpu_exact.npy", "cpu_exact.npy")}) {
    const double error = difference(folder, one, other);
    EXPECT_TRUE(error <= 1e-6) << one << ": " << error;
  }
}

TEST(Device, AutoLeavesSmallHeadsToTheCpu) {
  const TemporaryFolder folder;
  const Module module(CUDA_HOST_MODULE);
  EXPECT_EQ(analysis(folder, "auto")["device"], "CPU");
  EXPECT_EQ(analysis(folder, "auto", {"--precision", "f64"})["device"], "CPU");
}

TEST(Device, AutoWorksWithoutAGpu) {
  const TemporaryFolder folder;
  const Module module("/no/such/module.so");
  EXPECT_EQ(analysis(folder, "auto")["device"], "CPU");
  EXPECT_EQ(analysis(folder, "cpu")["device"], "CPU");
}

/// What standard error says of a device that cannot be had.
std::string refusal(const TemporaryFolder& folder, const Words& arguments) {
  const ProcessResult result = run_convscope(arguments, folder.path());
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_EQ(result.out, "");
  return result.err;
}

TEST(Device, ADeviceThatIsNotThereIsNamed) {
  const TemporaryFolder folder;
  const Words words = {"analyze", "--planted", "k=4,n=30,d=16", "--device"};
  const auto with = [&](Words more) {
    more.insert(more.begin(), words.begin(), words.end());
    return more;
  };
  {
    const Module module("/no/such/module.so");
    const std::string text = refusal(folder, with({"gpu0"}));
    EXPECT_THAT(text, HasSubstr("--device is gpu0"));
    EXPECT_THAT(text, HasSubstr("/no/such/module.so"));
  }
  const Module module(CUDA_HOST_MODULE);
  EXPECT_THAT(refusal(folder, with({"gpu7"})), HasSubstr("the last is gpu0"));
  EXPECT_THAT(refusal(folder, with({"gpu"})), HasSubstr("it must be auto, cpu"));
  EXPECT_THAT(refusal(folder, with({"gpu0x"})), HasSubstr("it must be auto, cpu"));
  EXPECT_THAT(refusal(folder, with({"gpu0", "--precision", "f64"})), HasSubstr("f32 only"));
}

TEST(Device, TheWindowAndItsPictureSayItAtThePrompt) {
  const TemporaryFolder folder;
  const Module module(CUDA_HOST_MODULE);
  const Words verbs[] = {{}, {"snapshot", "--png", "x.png"}};
  for (const Words& verb : verbs) {
    const auto with = [&](const char* device) {
      Words words = verb;
      words.insert(words.end(), {"--device", device});
      return words;
    };
    EXPECT_THAT(refusal(folder, with("gpu7")), HasSubstr("--device is gpu7, and there is no such GPU: the last is gpu0"));
    EXPECT_THAT(refusal(folder, with("banana")), HasSubstr("it must be auto, cpu"));
    EXPECT_THAT(refusal(folder, with("gpu-0")), HasSubstr("it must be auto, cpu"));
  }
  EXPECT_TRUE(folder.names().empty());
}

TEST(Device, TrainingGoesByTheGpuToo) {
  const TemporaryFolder folder;
  const Module module(CUDA_HOST_MODULE);
  const auto gradients = [&](const std::string& device) {
    const ProcessResult result = run_convscope({"train", "--head-gradients", "--planted", "k=3,n=90,d=8", "--precision", "f32",
                                                "--backward", "exact", "--device", device, "--json"},
                                               folder.path());
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.err, "");
    return json::parse(result.out);
  };
  EXPECT_EQ(gradients("cpu")["device"], "CPU");
  EXPECT_THAT(gradients("gpu0")["device"].get<std::string>(), StartsWith("GPU 0 ("));
}

std::set<std::string> curve_methods(const TemporaryFolder& folder, const Words& more) {
  Words words = {"curve", "--n", "64", "--k", "2", "--d", "8", "--json"};
  words.insert(words.end(), more.begin(), more.end());
  const ProcessResult result = run_convscope(words, folder.path());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::set<std::string> methods;
  const json curve = json::parse(result.out);
  for (const json& point : curve["points"]) methods.insert(point["method"]);
  return methods;
}

TEST(Device, TheCurveHasLinesOfTheGpuWhereThereIsOne) {
  const TemporaryFolder folder;
  const Module module(CUDA_HOST_MODULE);
  const std::set<std::string> both = curve_methods(folder, {});
  EXPECT_EQ(both.count("cuda_exact"), 1U);
  EXPECT_EQ(both.count("cuda_conv"), 1U);
  EXPECT_EQ(both.count("exact"), 1U);
  const Words without[] = {{"--device", "cpu"}, {"--precision", "f64"}};
  for (const Words& more : without) {
    const std::set<std::string> methods = curve_methods(folder, more);
    EXPECT_EQ(methods.count("cuda_exact") + methods.count("cuda_conv"), 0U);
    EXPECT_EQ(methods.count("exact"), 1U);
  }
}

}  // namespace
}  // namespace convscope::testing
