#include "window/window.h"

#include "core/errors.h"
#include "window/app.h"
#include "window/platform.h"

#include <chrono>
#include <cstdio>
#include <exception>
#include <string>

namespace convscope {

namespace {

constexpr int failed = 1;

int complain(const std::string& sentence, int code = failed) {
  std::fprintf(stderr, "%s\n", sentence.c_str());
  return code;
}

/// The product's exit codes: 2 bad usage, 3 bad input file, 1 anything else.
int exit_code(Failure::Kind kind) {
  switch (kind) {
    case Failure::Kind::argument:
      return 2;
    case Failure::Kind::file:
      return 3;
    case Failure::Kind::other:
      return failed;
  }
  return failed;
}

int take_snapshot(App& app, const std::filesystem::path& png) {
  // Two frames first: they ask for the work that is to be waited for. Then only those that are needed: drawing takes time from
  // it.
  app.frame();
  app.frame();
  do {
    app.step(0.1);
    if (app.session().failure())
      return complain("convscope: " + app.session().failure()->text, exit_code(app.session().failure()->kind));
  } while (!app.settled() || app.measuring() || app.training_times().pending());
  // Axes that fit their curves need two more frames.
  app.frame();
  app.frame();
  write_png(png, app.grab());
  return 0;
}

}  // namespace

int run_window(const WindowOptions& options) {
  try {
    App app({.window = options, .measure = true, .settings_file = settings_path()});
    while (!app.closed()) app.step(1.0);
    return 0;
  } catch (const NoDisplay& error) {
    return complain(std::string("convscope: no display was found (") + error.what() +
                    "); use `convscope snapshot` for a picture of the window or `convscope analyze` for the numbers.");
  } catch (const std::exception& error) {
    return complain(std::string("convscope: ") + error.what());
  }
}

int run_snapshot(const SnapshotOptions& options) {
  try {
    App app({.window = options,
             .width = options.width,
             .height = options.height,
             .visible = false,
             .measure = options.curves,
             .settings_file = {}});
    if (options.ladder) app.errors().show(ResidualErrorsPanel::Tab::ladder);
    if (options.training) {
      app.set_layout(LayoutPreset::train);
      app.bring_to_front("training");
      while (app.devices().looking()) app.step(0.1);
      app.training_runner().run(app.training().request(), app.devices().chosen());
      if (options.curves) app.training_times().measure(app.training().request(), app.devices().chosen());
    }
    return take_snapshot(app, options.png);
  } catch (const NoDisplay& error) {
    return complain(std::string("convscope: no OpenGL 3.3 to draw with (") + error.what() +
                    "); run it under a virtual display, as in `xvfb-run -a convscope snapshot`.");
  } catch (const std::exception& error) {
    return complain(std::string("convscope: ") + error.what());
  }
}

std::string gl_renderer() {
  const Platform platform("convscope", 64, 64, false);
  return renderer_name();
}

}  // namespace convscope
