#include "cli/console.h"
#include "cli/device.h"
#include "cli/verbs.h"
#include "cli/window_options.h"

#include <fmt/format.h>

#include <charconv>
#include <memory>
#include <string>

namespace convscope {
namespace {

/// Reads "1600x1000". Throws InvalidArgument.
void parse_size(const std::string& text, SnapshotOptions& options) {
  const char* end = text.data() + text.size();
  const auto [after_width, width_error] = std::from_chars(text.data(), end, options.width);
  const bool separated = width_error == std::errc() && after_width != end && *after_width == 'x';
  const auto [after_height, height_error] = separated ? std::from_chars(after_width + 1, end, options.height)
                                                      : std::from_chars_result{end, std::errc::invalid_argument};
  constexpr int least = 200, most = 8192;
  const bool in_range = options.width >= least && options.width <= most && options.height >= least && options.height <= most;
  if (height_error != std::errc() || after_height != end || !in_range) {
    throw convbasis::InvalidArgument(
        fmt::format("--size is {}; it must be WxH with {} to {} pixels each, such as 1600x1000", text, least, most));
  }
}

struct SnapshotVerb {
  SnapshotOptions snapshot;
  std::string size = "1600x1000";
};

}  // namespace

void add_snapshot(CLI::App& program, int& exit_code) {
  CLI::App* verb = program.add_subcommand("snapshot", "Draw the window off screen, after its work is done, into a PNG");
  auto options = std::make_shared<SnapshotVerb>();
  add_window_options(*verb, options->snapshot);
  verb->add_option("--png", options->snapshot.png, "The picture to write")->required()->type_name("OUT");
  verb->add_option("--size", options->size, "Width and height in pixels")->type_name("WxH")->capture_default_str();
  verb->add_flag("--ladder", options->snapshot.ladder, "Show what the head is made of instead of the error by row");
  verb->add_flag("--training", options->snapshot.training, "Train the one-layer problem first, in the layout that shows it");
  verb->add_flag("--curves", options->snapshot.curves,
                 "Measure the runtime curves first, and with --training the time of a step (half a minute)");
  verb->callback([options, &exit_code] {
    parse_size(options->size, options->snapshot);
    names_session(options->snapshot);
    require_writable_place("--png", options->snapshot.png);
    if (options->snapshot.device) require_device(*options->snapshot.device);
    exit_code = run_snapshot(options->snapshot);
  });
}

}  // namespace convscope
