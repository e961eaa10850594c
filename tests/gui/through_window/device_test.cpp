// What computes is chosen by a click, in a menu or by the palette, and the window says what it is. GPUs are made up, or the
// module's own source run on the CPU.

#include "gui/support/driver.h"
#include "gui/support/fake_gpu.h"
#include "panels/runtime_panel.h"
#include "state/provenance.h"

#include <algorithm>
#include <atomic>
#include <future>

namespace convscope {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

constexpr DeviceWish automatic{};
constexpr DeviceWish cpu{DeviceWish::Kind::cpu};
constexpr DeviceWish gpu(int number) { return {DeviceWish::Kind::gpu, number}; }

std::shared_ptr<const convbasis::Gpu> no_module() { return std::make_shared<const convbasis::Gpu>("/no/such/module.so"); }
std::shared_ptr<const convbasis::Gpu> kernels_on_the_cpu() { return std::make_shared<const convbasis::Gpu>(CUDA_HOST_MODULE); }

class Devices : public ThroughWindow {
 protected:
  void SetUp() override {}
  void TearDown() override {
    ThroughWindow::TearDown();
    fs::remove_all(folder_);
  }
  /// A head of 200 tokens: the kernels run on the CPU are slow.
  void open_with(DeviceChoice::Load load, std::optional<DeviceWish> device = {}) {
    AppOptions options;
    options.width = width;
    options.height = height;
    options.settings_file = settings_;
    options.load_gpu = std::move(load);
    options.window.planted = convbasis::PlantedOptions{.n = 200, .d = 16, .k = 4, .T = 4};
    options.window.device = device;
    open_app(std::move(options));
  }
  DeviceWish saved() { return load_settings(settings_).settings.device; }
  std::string device() { return session().result().device; }
  const Action& action(const DeviceWish& wish) { return *app_->actions().find("device." + name_of(wish)); }
  std::ptrdiff_t count_logged(const std::string& part) {
    return std::ranges::count_if(app_->messages().all(), [&](const Message& message) {
      return message.severity == Severity::warning && message.text.find(part) != std::string::npos;
    });
  }
  bool banner_says(const std::string& part) {
    return std::ranges::any_of(app_->messages().banners(),
                               [&](const Banner& banner) { return banner.text.find(part) != std::string::npos; });
  }

  fs::path folder_ = fs::path(testing::TempDir()) /
                     (std::string("convscope_device_") + testing::UnitTest::GetInstance()->current_test_info()->name());
  fs::path settings_ = folder_ / "layout.ini";
};

TEST_F(Devices, ARowChoosesAndTheOpenHeadIsComputedAnew) {
  open_with(kernels_on_the_cpu);
  drive([&](Hand& hand) {
    EXPECT_EQ(app_->devices().wish(), automatic);
    EXPECT_EQ(device(), "CPU") << "auto leaves so small a head to it";
    const auto first = session().result();
    hand.WindowFocus("//###parameters");
    hand.ItemClick("//###parameters/GPU 0");
    hand.Yield();
    EXPECT_EQ(app_->devices().wish(), gpu(0));
    EXPECT_EQ(session().result().analysis, first.analysis) << "it stays on screen";
    EXPECT_TRUE(session().stale());
    settle(hand);
    EXPECT_FALSE(session().stale());
    EXPECT_EQ(device(), app_->devices().name_of_gpu(0));
    EXPECT_NE(session().result().exact_id, first.exact_id);
    EXPECT_THAT(provenance_line(provenance_of(session().result())), HasSubstr(device()));
    keep_picture(hand, testing::UnitTest::GetInstance()->current_test_info()->name());
    hand.ItemClick("//###parameters/CPU");
    settle(hand);
    EXPECT_EQ(app_->devices().wish(), cpu);
    EXPECT_EQ(device(), "CPU");
    EXPECT_TRUE(app_->messages().banners().empty());
  });
  close();
  EXPECT_EQ(saved(), cpu);
}

TEST_F(Devices, TheMenuAndThePaletteChooseToo) {
  const FakeGpu two(2);
  open_with(FakeGpu::load);
  drive([&](Hand& hand) {
    const std::vector<std::string> entries = menu_entries(hand);
    for (const char* name : {"Auto", "CPU", "GPU 0 (fake 0)", "GPU 1 (fake 1)"}) {
      EXPECT_THAT(entries, testing::Contains(std::string("Run/Device/") + name));
    }
    choose(hand, "Run/Device/GPU 1 (fake 1)");
    settle(hand);
    EXPECT_EQ(app_->devices().wish(), gpu(1));
    EXPECT_TRUE(action(gpu(1)).ticked());
    EXPECT_FALSE(action(gpu(0)).ticked());
    EXPECT_FALSE(action(automatic).ticked());
    hand.KeyPress(ImGuiMod_Ctrl | ImGuiKey_P);
    hand.Yield(2);
    hand.KeyChars("device cpu");
    hand.KeyPress(ImGuiKey_Enter);
    settle(hand);
    EXPECT_EQ(app_->devices().wish(), cpu);
  });
}

TEST_F(Devices, WithoutAGpuTheReasonIsWhereItCouldBeChosen) {
  open_with(no_module);
  drive([&](Hand& hand) {
    const std::string why = app_->devices().status()->why;
    EXPECT_FALSE(why.empty());
    EXPECT_EQ(action(gpu(0)).help, why);
    EXPECT_FALSE(action(gpu(0)).is_enabled());
    EXPECT_THAT(menu_entries(hand), testing::Not(testing::Contains("Run/Device/GPU 0")));
    hand.MenuAction(ImGuiTestAction_Hover, "//##MainMenuBar/Run/Device/GPU 0");
    hand.SleepNoSkip(1.0F, 0.1F);
    keep_picture(hand, "DeviceMenu");
    hand.PopupCloseAll();
    hand.WindowFocus("//###parameters");
    EXPECT_NE(hand.ItemInfo("//###parameters/GPU 0").ItemFlags & ImGuiItemFlags_Disabled, 0);
    EXPECT_EQ(hand.ItemInfo("//###parameters/CPU").ItemFlags & ImGuiItemFlags_Disabled, 0);
    EXPECT_TRUE(app_->messages().banners().empty()) << "auto insists on nothing";
    EXPECT_EQ(device(), "CPU");
  });
}

TEST_F(Devices, AGpuThatIsGoneIsToldOnceAndTheCpuComputes) {
  Settings before;
  before.device = gpu(3);
  save_settings(settings_, before);
  const FakeGpu one;
  open_with(FakeGpu::load);
  drive([&](Hand& hand) {
    EXPECT_EQ(app_->devices().wish(), gpu(3));
    EXPECT_EQ(device(), "CPU");
    EXPECT_TRUE(banner_says("gpu3"));
    EXPECT_TRUE(banner_says("the last is gpu0"));
    hand.Yield(5);
    EXPECT_EQ(count_logged("gpu3"), 1);
    EXPECT_NE(hand.ItemInfo("//###parameters/GPU 3").ID, 0U) << "what is wished for stands in the row";
    keep_picture(hand, testing::UnitTest::GetInstance()->current_test_info()->name());
    choose(hand, "Run/Device/Auto");
    settle(hand);
    EXPECT_TRUE(app_->messages().banners().empty());
  });
}

TEST_F(Devices, TheOptionIsForOneRunAlone) {
  Settings before;
  before.device = cpu;
  save_settings(settings_, before);
  const FakeGpu one;
  open_with(FakeGpu::load, gpu(0));
  drive([&](Hand&) { EXPECT_EQ(app_->devices().wish(), gpu(0)); });
  close();
  EXPECT_EQ(saved(), cpu);
}

TEST_F(Devices, NothingIsLookedForWhereTheCpuIsWished) {
  std::atomic<int> loads{0};
  open_with(
      [&] {
        ++loads;
        return no_module();
      },
      cpu);
  drive([&](Hand& hand) {
    EXPECT_EQ(loads, 0);
    EXPECT_TRUE(action(gpu(0)).is_enabled()) << "nobody knows yet";
    hand.ItemClick("//###parameters/GPU 0");
    settle(hand);
    EXPECT_EQ(loads, 1);
    EXPECT_FALSE(action(gpu(0)).is_enabled());
    EXPECT_TRUE(banner_says("/no/such/module.so"));
  });
}

TEST_F(Devices, TheWindowDoesNotWaitForTheDriver) {
  std::promise<void> found;
  std::shared_future<void> driver = found.get_future();
  open_with(
      [driver] {
        driver.wait();
        return no_module();
      },
      cpu);
  drive([&](Hand& hand) {
    hand.ItemClick("//###parameters/GPU 0");
    const std::size_t frames = app_->frames_drawn();
    AnalysisRequest wish = session().wanted();
    wish.k = 2;
    session().want(wish);
    hand.Yield(5);
    EXPECT_GE(app_->frames_drawn(), frames + 5);
    EXPECT_TRUE(app_->devices().looking());
    EXPECT_TRUE(session().waits_for_device());
    EXPECT_FALSE(app_->settled());
    EXPECT_THAT(action(gpu(0)).help, HasSubstr("looking for a GPU"));
    keep_picture(hand, testing::UnitTest::GetInstance()->current_test_info()->name());
    // Whoever does not want to wait takes the CPU.
    hand.ItemClick("//###parameters/CPU");
    settle(hand);
    EXPECT_EQ(analysis().options.k, 2);
    found.set_value();
  });
}

TEST_F(Devices, AFailureIsOneMessageHoweverOftenKIsTurned) {
  const FakeGpu one;
  FakeGpu::problem() = "the launch failed";
  open_with(FakeGpu::load, gpu(0));
  drive([&](Hand& hand) {
    EXPECT_EQ(device(), "CPU");
    EXPECT_TRUE(banner_says("the launch failed"));
    for (const int k : {3, 2, 1, 4}) {
      const int before = FakeGpu::calls();
      hand.ItemInputValue("//###parameters/##k/##number", k);
      settle(hand);
      EXPECT_GT(FakeGpu::calls(), before);
    }
    EXPECT_EQ(count_logged("the launch failed"), 1);
    EXPECT_FALSE(session().failure());
    EXPECT_LE(analysis().error.relative_error, 1e-5);
  });
}

TEST_F(Devices, SlotBIsComputedOnItToo) {
  const FakeGpu one;
  open_with(FakeGpu::load, gpu(0));
  drive([&](Hand& hand) {
    hand.KeyPress(ImGuiMod_Ctrl | ImGuiKey_B);
    settle(hand);
    ASSERT_TRUE(app_->slot_b());
    ASSERT_TRUE(app_->slot_b()->result().analysis);
    EXPECT_EQ(app_->slot_b()->result().accelerator, app_->devices().chosen().gpu);
    choose(hand, "Run/Device/CPU");
    settle(hand);
    EXPECT_EQ(app_->slot_b()->result().accelerator, nullptr);
    EXPECT_FALSE(app_->slot_b()->stale());
  });
}

CurvePoint point(const char* method, convbasis::Index n, double seconds) {
  CurvePoint result;
  result.method = method;
  result.n = n;
  result.seconds = result.seconds_min = result.seconds_max = seconds;
  return result;
}

TEST(RuntimeFindings, NameTheGpuWhereThereIsOne) {
  std::vector<CurvePoint> points{point("exact", 512, 1e-3), point("exact", 1024, 4e-3), point("conv_partitioned", 512, 2e-3),
                                 point("conv_partitioned", 1024, 3e-3)};
  EXPECT_EQ(gpu_findings(points, 1024), "");
  const std::string on_cpu = runtime_findings(points, 1024);
  EXPECT_THAT(on_cpu, StartsWith("n 1024: exact 4.0 ms, conv 3.0 ms · crossover"));
  points.push_back(point("cuda_exact", 1024, 4e-4));
  EXPECT_EQ(gpu_findings(points, 1024), "GPU exact 400 us");
  points.push_back(point("cuda_conv", 1024, 5e-4));
  EXPECT_EQ(gpu_findings(points, 1024), "GPU exact 400 us, GPU conv 500 us");
  EXPECT_EQ(runtime_findings(points, 1024), on_cpu);
}

}  // namespace
}  // namespace convscope
