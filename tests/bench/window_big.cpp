// How the window behaves with long inputs: opens a planted head in the hidden window, zooms to several places, pans, and prints
// what a user waits for. And with --first-picture, what the time up to the first complete picture of the example goes into.
//   convscope_bench_window 65536 1000000
//   convscope_bench_window --first-picture

#include "gui/support/frame_clock.h"
#include "gui/support/looking.h"
#include "view/map_tiling.h"
#include "window/app.h"

#include <CLI/CLI.hpp>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace convscope;
using Clock = std::chrono::steady_clock;

constexpr int width = 1600;
constexpr int height = 1000;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Place {
  const char* name;
  double row, column;  ///< shares of n
  double extent;       ///< cells; 0: the whole map
};

class WindowBench {
 public:
  explicit WindowBench(convbasis::Index n) : start_(Clock::now()) {
    WindowOptions options;
    options.planted = convbasis::PlantedOptions{.n = n, .d = 64, .k = 16};
    app_ = std::make_unique<App>(
        AppOptions{.window = options, .width = width, .height = height, .visible = false, .settings_file = {}});
    clock_ = std::make_unique<FrameClock>(*app_);
  }

  void run() {
    open();
    const auto n = static_cast<double>(analysis().n);
    for (const Place& place :
         {Place{"corner at the diagonal, cell by cell", 0.5, 0.5, 64.0}, Place{"middle, 1024 cells", 0.7, 0.3, 1024.0},
          Place{"end of the first column, 8192 cells", 0.99, 0.0, 8192.0}, Place{"a sixteenth", 0.6, 0.2, n / 16.0},
          Place{"a quarter", 0.5, 0.25, n / 4.0}}) {
      go_to(place);
    }
    for (const double extent : {n, n / 16.0, 2048.0}) pan(extent, 80.0F);
    pan(n / 16.0, 0.0F);
    std::printf("  resident now %.2f GiB, at most %.2f GiB\n", resident_gib("VmRSS"), resident_gib());
  }

 private:
  const convbasis::HeadAnalysis<float>& analysis() const { return *app_->session().result().analysis; }

  void open() {
    app_->frame();
    while (!app_->session().result().analysis && !app_->session().failure()) clock_->step(0.02);
    if (app_->session().failure()) throw std::runtime_error(app_->session().failure()->text);
    std::printf("n = %td\n  first approximation after %.2f s\n", analysis().n, seconds_since(start_));
    while (!app_->settled()) clock_->step(0.02);
    std::printf("  all tiles and figures after %.2f s\n", seconds_since(start_));
    clock_->print("opening");
  }

  void go_to(const Place& place) {
    const auto n = static_cast<double>(analysis().n);
    clock_->reset();
    const auto start = Clock::now();
    app_->view().window = {place.row * n - place.extent / 2.0, place.column * n - place.extent / 2.0, place.extent};
    clock_->frame();
    clock_->frame();
    while (!app_->settled() && seconds_since(start) < 60.0) clock_->step(0.005);
    const double all = seconds_since(start);
    std::printf(
        "  %-36s all three maps on screen after %6.3f s, approximation's tiles alone %6.3f s; longest frame %.1f ms of the "
        "thread\n",
        place.name, all, approximation_alone(), 1e3 * clock_->longest_processor());
  }

  /// How long its tiles take in what is seen now, when nothing else is computed.
  double approximation_alone() const {
    const CellWindow window = app_->view().window;
    const double side = (rectangle("###approximation").z - rectangle("###approximation").x) * 0.9;
    convbasis::MapTileKey key;
    key.kind = convbasis::MapKind::approximation;
    key.level = level_for(window.extent, side, analysis().n);
    key.row_step = convbasis::map_row_step(analysis(), key.level);
    MapTiles tiles([] {});
    const auto start = Clock::now();
    tiles.set_analysis(app_->session().result().analysis, 1, 1);
    tiles.want(visible_tiles(key, window, analysis().n));
    while (tiles.busy()) std::this_thread::sleep_for(std::chrono::microseconds(200));
    return seconds_since(start);
  }

  /// `radius` pixels; with 0 the mouse is held still, and the maps need not be drawn anew.
  void pan(double extent, float radius) {
    const auto n = static_cast<double>(analysis().n);
    app_->view().window = {0.5 * n - extent / 2.0, 0.3 * n - extent / 2.0, extent};
    app_->frame();
    while (!app_->settled()) app_->step(0.02);
    const ImVec4 area = rectangle("###exact");
    const ImVec2 middle{(area.x + area.z) / 2.0F, (area.y + area.w) / 2.0F};
    ImGuiIO& io = ImGui::GetIO();
    io.AddMousePosEvent(middle.x, middle.y);
    app_->frame();
    io.AddMouseButtonEvent(ImGuiMouseButton_Left, true);
    app_->frame();
    clock_->reset();
    const double used = process_seconds();
    const double used_by_driver = driver_seconds();
    for (int i = 0; i < 100; ++i) {
      const float angle = static_cast<float>(i) * 0.15F;
      io.AddMousePosEvent(middle.x + radius * std::sin(angle), middle.y + radius * (std::cos(angle) - 1.0F));
      clock_->frame();
    }
    const auto frames = static_cast<double>(clock_->frames());
    const double all = 1e3 * (process_seconds() - used) / frames;
    const double driver = 1e3 * (driver_seconds() - used_by_driver) / frames;
    io.AddMouseButtonEvent(ImGuiMouseButton_Left, false);
    app_->frame();
    const std::string what = radius > 0.0F ? "panning over " : "still over ";
    clock_->print((what + std::to_string(static_cast<long long>(extent)) + " cells").c_str());
    std::printf("  %-32s processor time a frame: %.1f ms in all, %.1f ms of it the driver's threads, %.1f ms the workers'\n", "",
                all, driver, all - driver - 1e3 * clock_->median_processor());
  }

  Clock::time_point start_;
  std::unique_ptr<App> app_;
  std::unique_ptr<FrameClock> clock_;
};

/// From here to the first frame that has all tiles of the example.
void first_picture() {
  const auto start = Clock::now();
  const auto tell = [&](const char* what) { std::printf("  %-44s %6.3f s\n", what, seconds_since(start)); };
  App app({.window = {}, .width = width, .height = height, .visible = false, .settings_file = {}});
  tell("window, context, fonts registered");
  app.frame();
  tell("first frame");
  app.frame();
  tell("second frame");
  while (!app.session().source() && !app.session().failure()) app.step(0.01);
  tell("example is open");
  while (!app.session().result().analysis && !app.session().failure()) app.step(0.01);
  tell("first analysis arrived");
  while (!app.settled()) app.step(0.01);
  tell("all tiles are drawn");
  std::printf("  processor time of all threads %.3f s, %zu frames\n", process_seconds(), app.frames_drawn());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App options("How the window behaves: long planted inputs, and the first picture of the example");
  std::vector<convbasis::Index> sizes;
  bool first = false;
  options.add_option("n", sizes, "tokens of planted inputs, one window each");
  options.add_flag("--first-picture", first, "the way to the first complete picture of the example");
  CLI11_PARSE(options, argc, argv);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  try {
    if (first) first_picture();
    for (const convbasis::Index n : sizes) WindowBench(n).run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "convscope_bench_window: %s\n", error.what());
    return 1;
  }
  return 0;
}
