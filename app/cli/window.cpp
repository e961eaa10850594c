#include "cli/device.h"
#include "cli/verbs.h"
#include "cli/window_options.h"
#include "data/activations.h"
#include "state/session_file.h"

#include <memory>

namespace convscope {

void add_window(CLI::App& program, int& exit_code) {
  auto options = std::make_shared<WindowOptions>();
  add_window_options(program, *options);
  for (CLI::App* verb : program.get_subcommands({})) {
    // "convscope --layer 3 analyze": an option of the window that a verb would silently ignore.
    for (CLI::Option* option : program.get_options()) verb->excludes(option);
  }
  program.callback([options, &program, &exit_code] {
    if (!program.get_subcommands().empty()) return;
    // Files that cannot be opened are told at the prompt, where they were named, and not in a window that then shows nothing.
    if (names_session(*options)) {
      load_session(options->files.front());
    } else if (!options->files.empty()) {
      convbasis::Activations::open(options->files, options->hints);
    }
    if (options->device) require_device(*options->device);
    exit_code = run_window(*options);
  });
}

}  // namespace convscope
