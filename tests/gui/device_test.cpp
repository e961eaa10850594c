// What is computed on: the wish, the GPU that it names, the search in the background, and heads that are computed on another
// device. GPUs are made up, or the module's own source run on the CPU.

#include "cli/process.h"
#include "gui/support/fake_gpu.h"
#include "gui/support/counting_accelerator.h"
#include "gui/support/wait_until.h"
#include "state/accelerator_record.h"
#include "state/device_choice.h"
#include "state/provenance.h"
#include "state/session.h"
#include "state/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

namespace convscope {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr DeviceWish automatic{};
constexpr DeviceWish cpu{DeviceWish::Kind::cpu};
constexpr DeviceWish gpu(int number) { return {DeviceWish::Kind::gpu, number}; }

TEST(DeviceWish, HasTheWordsOfTheCommandLine) {
  for (const auto& [text, wish] :
       {std::pair("auto", automatic), std::pair("cpu", cpu), std::pair("gpu0", gpu(0)), std::pair("gpu12", gpu(12))}) {
    ASSERT_TRUE(device_wish(text)) << text;
    EXPECT_EQ(*device_wish(text), wish) << text;
    EXPECT_EQ(name_of(wish), text);
  }
  for (const char* text : {"", "gpu", "GPU0", "gpu-1", "gpu-0", "gpu+1", "gpu 0", "gpu0x", "gpu99999999999", "cuda", "auto "}) {
    EXPECT_FALSE(device_wish(text)) << text;
  }
}

TEST(DeviceWish, NamesAGpuWhereThereIsOne) {
  const FakeGpu two(2);
  const auto module = FakeGpu::load();
  const convbasis::GpuStatus& there = module->status();
  ASSERT_TRUE(there.ready());
  const convbasis::GpuStatus none{convbasis::GpuStatus::Kind::no_driver, "no driver here", {}};
  EXPECT_FALSE(named_gpu(cpu, there));
  EXPECT_FALSE(named_gpu(automatic, none));
  EXPECT_FALSE(named_gpu(gpu(0), none));
  EXPECT_FALSE(named_gpu(gpu(2), there));
  ASSERT_TRUE(named_gpu(automatic, there));
  EXPECT_EQ(named_gpu(automatic, there)->number, 0);
  EXPECT_EQ(named_gpu(automatic, there)->smallest, smallest_on_auto);
  EXPECT_EQ(named_gpu(automatic, there, 5)->smallest, 5);
  ASSERT_TRUE(named_gpu(gpu(1), there));
  EXPECT_EQ(named_gpu(gpu(1), there)->number, 1);
  EXPECT_EQ(named_gpu(gpu(1), there, 5)->smallest, 1) << "whoever insists gets it for all heads";
  EXPECT_EQ(missing_gpu(gpu(0), none), "no driver here");
  EXPECT_EQ(missing_gpu(gpu(2), there), "the last is gpu1");
  for (const auto& wish : {automatic, cpu}) EXPECT_EQ(missing_gpu(wish, none), "");
  EXPECT_EQ(missing_gpu(gpu(1), there), "");
}

TEST(DeviceWish, IsKeptInTheSettings) {
  for (const DeviceWish& wish : {automatic, cpu, gpu(3)}) {
    Settings settings;
    settings.device = wish;
    const auto read = parse_settings(settings_text(settings));
    ASSERT_TRUE(read) << name_of(wish);
    EXPECT_EQ(read->device, wish);
  }
  const auto parse = [](const std::string& line) {
    return parse_settings("; convscope settings 2 dark 1.00\n" + line + "\n; end of settings\n");
  };
  ASSERT_TRUE(parse(""));
  EXPECT_EQ(parse("")->device, automatic) << "settings of an earlier version";
  for (const char* line : {"; device", "; device banana", "; device gpu", "; device gpu-1"})
    EXPECT_FALSE(parse(line + std::string("\n"))) << line;
}

class Choice : public ::testing::Test {
 protected:
  /// Polls as the window does, until it is known what there is.
  static void find(DeviceChoice& devices) {
    wait_until([&] {
      devices.poll();
      return !devices.looking();
    });
  }

  std::atomic<int> wakes_{0}, loads_{0};
  DeviceChoice::Load counted_ = [this] {
    ++loads_;
    return FakeGpu::load();
  };
};

TEST_F(Choice, LooksForAGpuOnceAndOnlyWhenItIsWished) {
  const FakeGpu one;
  DeviceChoice devices([this] { ++wakes_; }, counted_);
  devices.want(cpu);
  std::this_thread::sleep_for(20ms);
  EXPECT_FALSE(devices.poll());
  EXPECT_FALSE(devices.looking());
  EXPECT_EQ(loads_, 0);
  EXPECT_FALSE(devices.status());
  EXPECT_TRUE(devices.may_be(0)) << "nobody has looked";
  devices.want(automatic);
  EXPECT_TRUE(devices.looking());
  EXPECT_THAT(devices.about_gpu(0), HasSubstr("looking"));
  find(devices);
  EXPECT_GE(wakes_, 1);
  ASSERT_TRUE(devices.chosen().gpu);
  EXPECT_EQ(devices.chosen().gpu->name(), "GPU 0 (fake 0)");
  EXPECT_EQ(devices.name_of_gpu(0), "GPU 0 (fake 0)");
  EXPECT_THAT(devices.about_gpu(0), HasSubstr("8 GiB"));
  EXPECT_EQ(devices.name_of_gpu(1), "GPU 1");
  EXPECT_FALSE(devices.may_be(1));
  const auto first = devices.chosen().gpu;
  devices.want(cpu);
  EXPECT_FALSE(devices.chosen().gpu);
  devices.want(gpu(0));
  EXPECT_FALSE(devices.looking());
  EXPECT_EQ(devices.chosen().gpu, first) << "the same GPU is the same device";
  EXPECT_EQ(loads_, 1);
  EXPECT_EQ(devices.take_warning(), "");
}

TEST_F(Choice, TheCpuGivesBackWhatIsKeptOnAGpu) {
  const FakeGpu one;
  DeviceChoice devices([this] { ++wakes_; }, counted_);
  devices.want(gpu(0));
  find(devices);
  const convbasis::Matrix<float> numbers = convbasis::Matrix<float>::Ones(3, 2);
  convbasis::Matrix<float> output(3, 2);
  std::vector<double> lse(3);
  const convbasis::HeadView<float> head{convbasis::view(numbers), convbasis::view(numbers), convbasis::view(numbers), 1.0};
  EXPECT_FALSE(devices.chosen().gpu->exact_attention(head, convbasis::mutable_view(output), lse, {}));
  FakeGpu::releases() = 0;
  devices.want(automatic);
  devices.want(cpu);
  wait_until([] { return FakeGpu::releases() == 1; });
  devices.want(gpu(0));
  EXPECT_TRUE(devices.chosen().gpu);
  EXPECT_EQ(FakeGpu::releases(), 1);
}

TEST_F(Choice, AutoLeavesSmallHeadsToTheCpuAndDoesNotWaitForThem) {
  const FakeGpu one;
  std::promise<void> found;
  DeviceChoice devices({}, [&] {
    found.get_future().wait();
    return FakeGpu::load();
  });
  devices.want(automatic);
  EXPECT_TRUE(devices.chosen().known_for(smallest_on_auto - 1));
  EXPECT_FALSE(devices.chosen().known_for(smallest_on_auto));
  devices.want(gpu(0));
  EXPECT_FALSE(devices.chosen().known_for(1));
  devices.want(cpu);
  EXPECT_TRUE(devices.chosen().known_for(smallest_on_auto)) << "who wants the CPU waits for nothing";
  devices.want(automatic);
  found.set_value();
  find(devices);
  EXPECT_FALSE(devices.chosen().accelerator(smallest_on_auto - 1));
  EXPECT_TRUE(devices.chosen().accelerator(smallest_on_auto));
}

TEST_F(Choice, AGpuThatIsNotThereIsSaidOnce) {
  DeviceChoice devices({}, [] { return std::make_shared<const convbasis::Gpu>("/no/such/module.so"); });
  devices.want(automatic);
  find(devices);
  EXPECT_EQ(devices.take_warning(), "") << "auto insists on nothing";
  EXPECT_FALSE(devices.may_be(0));
  EXPECT_EQ(devices.about_gpu(0), devices.status()->why);
  devices.want(gpu(0));
  EXPECT_FALSE(devices.chosen().gpu);
  EXPECT_THAT(devices.take_warning(), ::testing::AllOf(HasSubstr("gpu0"), HasSubstr("/no/such/module.so")));
  EXPECT_EQ(devices.take_warning(), "");
  devices.want(gpu(0));
  EXPECT_EQ(devices.take_warning(), "") << "the same wish again is none";
  devices.want(cpu);
  EXPECT_EQ(devices.take_warning(), "");
  devices.want(gpu(0));
  EXPECT_NE(devices.take_warning(), "") << "another wish, another word";
}

TEST_F(Choice, AModuleThatCannotBeLoadedIsToldAndNothingWaitsForIt) {
  DeviceChoice devices({}, []() -> std::shared_ptr<const convbasis::Gpu> { throw std::runtime_error("it fell apart"); });
  devices.want(gpu(0));
  find(devices);
  EXPECT_FALSE(devices.chosen().gpu);
  EXPECT_FALSE(devices.may_be(0));
  EXPECT_EQ(devices.about_gpu(0), "it fell apart");
  EXPECT_THAT(devices.take_warning(), HasSubstr("it fell apart"));
}

TEST_F(Choice, EndsWhileItIsLooking) {
  const FakeGpu one;
  std::atomic<bool> begun{false};
  DeviceChoice devices({}, [&] {
    begun = true;
    std::this_thread::sleep_for(20ms);
    return FakeGpu::load();
  });
  devices.want(automatic);
  wait_until([&] { return begun.load(); });
}

class SessionOnDevices : public ::testing::Test {
 protected:
  void settle(const Session& session) {
    wait_until([&] {
      session_.poll();
      return !session.busy() && !session.awaits_poll();
    });
  }
  void open(Index n = 256) {
    session_.plant({.n = n, .d = 16, .k = 4, .T = 4, .seed = 7});
    settle(session_);
    ASSERT_TRUE(session_.result().analysis) << (session_.failure() ? session_.failure()->text : "");
  }
  void turn_k(Index k) {
    AnalysisRequest wish = session_.wanted();
    wish.k = k;
    session_.want(wish);
  }
  static ChosenDevice on(std::shared_ptr<const convbasis::Accelerator> helper, Index smallest = 1) {
    return {gpu(0), std::move(helper), smallest, true};
  }

  std::shared_ptr<CountingAccelerator> helper_ = std::make_shared<CountingAccelerator>("GPU 0 (helper)");
  Session session_{[] {}};
};

TEST_F(SessionOnDevices, AnotherDeviceComputesTheOpenHeadAnew) {
  open();
  const AnalysisResult before = session_.result();
  EXPECT_EQ(before.device, "CPU");
  session_.compute_on(on(helper_));
  EXPECT_TRUE(session_.stale());
  EXPECT_TRUE(session_.awaits_poll());
  session_.poll();
  EXPECT_EQ(session_.result().analysis, before.analysis) << "the old one stays meanwhile";
  settle(session_);
  EXPECT_FALSE(session_.stale());
  const AnalysisResult after = session_.result();
  EXPECT_EQ(helper_->asked, 1);
  EXPECT_EQ(after.request, before.request);
  EXPECT_NE(after.analysis, before.analysis);
  EXPECT_NE(after.exact_id, before.exact_id) << "exact attention of another device is not used again";
  EXPECT_EQ(after.device, "GPU 0 (helper)");
  // Another k on the same device: its exact part is used again, and it is still the helper's.
  turn_k(2);
  settle(session_);
  EXPECT_EQ(helper_->asked, 1);
  EXPECT_EQ(session_.result().exact_id, after.exact_id);
  EXPECT_EQ(session_.result().device, "GPU 0 (helper)");
  // And back.
  session_.compute_on({cpu, nullptr, 1, true});
  settle(session_);
  EXPECT_EQ(session_.result().device, "CPU");
  EXPECT_NE(session_.result().exact_id, after.exact_id);
  EXPECT_EQ(helper_->asked, 1);
}

TEST_F(SessionOnDevices, ADeviceThatDoesNothingForThisHeadChangesNothing) {
  open();
  const AnalysisResult before = session_.result();
  session_.compute_on(on(helper_, 1024));
  EXPECT_FALSE(session_.stale());
  settle(session_);
  EXPECT_EQ(session_.result().approximation_id, before.approximation_id);
  EXPECT_EQ(helper_->asked, 0);
}

TEST_F(SessionOnDevices, WhatTheDeviceDeclinesIsTheCpusAndSaysSo) {
  helper_->declines = true;
  session_.compute_on(on(helper_));
  open();
  EXPECT_EQ(helper_->asked, 1);
  EXPECT_EQ(session_.result().device, "CPU");
  EXPECT_LE(session_.result().analysis->error.relative_error, 1e-5);
}

TEST_F(SessionOnDevices, WaitsUntilTheDeviceIsKnown) {
  session_.compute_on({automatic, nullptr, 1024, false});
  session_.plant({.n = 1024, .d = 16, .k = 4, .T = 4});
  wait_until([&] {
    session_.poll();
    return session_.source() != nullptr && !session_.busy();
  });
  std::this_thread::sleep_for(20ms);
  session_.poll();
  EXPECT_TRUE(session_.waits_for_device());
  EXPECT_TRUE(session_.awaits_poll()) << "a picture waits for it";
  EXPECT_FALSE(session_.busy());
  EXPECT_FALSE(session_.result().analysis);
  // A head that is the CPU's in any case does not.
  AnalysisRequest wish = session_.wanted();
  wish.n = 500;
  session_.want(wish);
  EXPECT_FALSE(session_.waits_for_device());
  settle(session_);
  ASSERT_TRUE(session_.result().analysis);
  EXPECT_EQ(session_.result().device, "CPU");
  wish.n = 1024;
  session_.want(wish);
  session_.poll();
  EXPECT_TRUE(session_.waits_for_device());
  EXPECT_TRUE(session_.stale());
  session_.compute_on({automatic, helper_, 1024, true});
  settle(session_);
  EXPECT_FALSE(session_.waits_for_device());
  EXPECT_EQ(session_.result().device, "GPU 0 (helper)");
  EXPECT_EQ(helper_->asked, 1);
}

TEST_F(SessionOnDevices, LookingForADeviceLeavesWhatIsShownAlone) {
  open(1024);
  const auto before = session_.result().analysis;
  session_.compute_on({automatic, nullptr, 1024, false});
  EXPECT_FALSE(session_.stale()) << "not before it is known that there is another";
  EXPECT_FALSE(session_.waits_for_device());
  settle(session_);
  EXPECT_EQ(session_.result().analysis, before);
  session_.compute_on({automatic, nullptr, 1024, true});  // there is none
  EXPECT_FALSE(session_.stale());
}

TEST_F(SessionOnDevices, ManyTokensComeInPartsAndTheLastIsTheDevices) {
  session_.compute_on(on(helper_));
  session_.plant({.n = 6000, .d = 16, .k = 3});
  wait_until([&] {
    session_.poll();
    return session_.result().last;
  });
  EXPECT_EQ(helper_->asked, 1);
  EXPECT_EQ(session_.result().device, "GPU 0 (helper)");
  EXPECT_TRUE(session_.result().analysis->exact->complete());
  EXPECT_LE(session_.result().analysis->error.relative_error, 1e-5);
}

TEST_F(SessionOnDevices, ProvenanceNamesWhatDidTheWorkAndTheCommandAsksForIt) {
  open();
  EXPECT_THAT(provenance_line(provenance_of(session_.result())), HasSubstr(" · float32 · CPU · convscope "));
  EXPECT_THAT(reproducing_command(provenance_of(session_.result())), ::testing::Not(HasSubstr("--device")));
  EXPECT_THAT(work_text(session_.result()), StartsWith("CPU, "));
  session_.compute_on(on(helper_));
  settle(session_);
  EXPECT_THAT(provenance_line(provenance_of(session_.result())), HasSubstr(" · float32 · GPU 0 (helper) · convscope "));
  EXPECT_THAT(reproducing_command(provenance_of(session_.result())), HasSubstr(" --device gpu0 --k "));
  EXPECT_THAT(work_text(session_.result()), StartsWith("GPU 0 (helper), "));
}

TEST_F(SessionOnDevices, AFailureIsOneWarningHoweverOftenASliderIsTurned) {
  const FakeGpu one;
  DeviceChoice devices({}, FakeGpu::load);
  devices.want(gpu(0));
  wait_until([&] {
    devices.poll();
    return !devices.looking();
  });
  session_.compute_on(devices.chosen());
  FakeGpu::problem() = "cudaMalloc of 100 bytes: no such luck";
  const int before = FakeGpu::calls();
  open();
  EXPECT_GT(FakeGpu::calls(), before);
  EXPECT_EQ(session_.result().device, "CPU");
  EXPECT_LE(session_.result().analysis->error.relative_error, 1e-5) << "the CPU has done it";
  const std::string warning = devices.take_warning();
  EXPECT_THAT(warning,
              ::testing::AllOf(StartsWith("GPU 0 (fake 0) failed, and the CPU did its work"), HasSubstr("no such luck")));
  for (const Index k : {3, 2, 1}) {
    FakeGpu::problem() = "cudaMalloc of " + std::to_string(100 + k) + " bytes: no such luck";
    const int so_far = FakeGpu::calls();
    turn_k(k);
    settle(session_);
    EXPECT_GT(FakeGpu::calls(), so_far) << "it is tried again";
    EXPECT_EQ(devices.take_warning(), "") << k;
  }
  FakeGpu::problem() = "the launch failed";
  turn_k(4);
  settle(session_);
  EXPECT_THAT(devices.take_warning(), HasSubstr("the launch failed"));
  devices.want(cpu);
  devices.want(gpu(0));
  session_.compute_on(devices.chosen());
  turn_k(3);
  settle(session_);
  EXPECT_THAT(devices.take_warning(), HasSubstr("the launch failed")) << "news after another wish";
}

TEST_F(SessionOnDevices, TheModulesOwnKernelsGiveWhatTheCommandLineGives) {
  DeviceChoice devices({}, [] { return std::make_shared<const convbasis::Gpu>(CUDA_HOST_MODULE); });
  devices.want(gpu(0));
  wait_until([&] {
    devices.poll();
    return !devices.looking();
  });
  ASSERT_TRUE(devices.chosen().gpu) << devices.status()->why;
  open();
  const auto on_cpu = session_.result();
  session_.compute_on(devices.chosen());
  settle(session_);
  const AnalysisResult& result = session_.result();
  EXPECT_EQ(result.device, devices.name_of_gpu(0));
  EXPECT_THAT(result.analysis->apply.path, StartsWith(result.device)) << "the product went there, too";
  EXPECT_EQ(work_text(result), result.analysis->apply.path) << "named once";
  EXPECT_EQ(devices.take_warning(), "");
  const auto difference = [](const convbasis::Matrix<float>& a, const convbasis::Matrix<float>& b) {
    return (a - b).cast<double>().norm() / b.cast<double>().norm();
  };
  // Sums of some hundred products in float, in another order.
  EXPECT_LE(difference(result.analysis->output, on_cpu.analysis->output), 1e-6);
  EXPECT_LE(difference(result.analysis->exact->output, on_cpu.analysis->exact->output), 1e-6);
  EXPECT_NE(result.analysis->exact->output, on_cpu.analysis->exact->output) << "it has been computed anew";

  const testing::TemporaryFolder folder;
  setenv("CONVSCOPE_CUDA_MODULE", CUDA_HOST_MODULE, 1);
  // The command that the window itself gives.
  const std::string line = reproducing_command(provenance_of(result)).substr(std::string("convscope ").size()) + " --json";
  std::vector<std::string> words;
  for (std::istringstream in(line); in >> words.emplace_back();) {
  }
  words.pop_back();
  const auto run = testing::run_convscope(words, folder.path());
  unsetenv("CONVSCOPE_CUDA_MODULE");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto printed = nlohmann::json::parse(run.out);
  EXPECT_EQ(printed["device"], result.device);
  EXPECT_EQ(printed["relative_error"].get<double>(), result.analysis->error.relative_error) << "the same sums in the same order";
  EXPECT_EQ(printed["max_abs_error"].get<double>(), result.analysis->error.max_abs_error);
  EXPECT_THAT(printed["path"].get<std::string>(), HasSubstr(result.analysis->apply.path));
}

TEST(AcceleratorRecord, RemembersOnlyWhatWasDone) {
  const auto helper = std::make_shared<CountingAccelerator>("helper");
  const AcceleratorRecord record(helper);
  EXPECT_EQ(record.name(), "helper");
  convbasis::HeadTensors<float> head;
  head.query = head.key = head.value = convbasis::Matrix<float>::Ones(3, 2);
  convbasis::Matrix<float> output(3, 2);
  std::vector<double> lse(3);
  helper->declines = true;
  EXPECT_FALSE(record.exact_attention(head.view(), convbasis::mutable_view(output), lse, {}));
  EXPECT_FALSE(record.did_anything());
  helper->declines = false;
  EXPECT_TRUE(record.exact_attention(head.view(), convbasis::mutable_view(output), lse, {}));
  EXPECT_TRUE(record.did_attention());
  EXPECT_TRUE(record.did_anything());
  EXPECT_FALSE(record.product({}, {}));
}

}  // namespace
}  // namespace convscope
