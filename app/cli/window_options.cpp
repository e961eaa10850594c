#include "cli/window_options.h"

#include "cli/device.h"
#include "cli/input_options.h"
#include "core/errors.h"
#include "state/session_file.h"

#include <fmt/format.h>
#include <CLI/Validators.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace convscope {

void add_window_options(CLI::App& app, WindowOptions& options) {
  app.add_option("--layer", options.layer, "Layer to begin with (default: the first in the files)")->type_name("L");
  app.add_option("--head", options.head, "Query head to begin with (default: 0)")->type_name("H");
  app.add_option("--ui-scale", options.ui_scale, "Size of all there is in the window, 0.5 to 4 (default: as saved, else 1)")
      ->check(CLI::Range(0.5, 4.0))
      ->type_name("X");
  app.add_option_function<std::string>(
         "--theme", [&options](const std::string& name) { options.theme = name == "light" ? Theme::light : Theme::dark; },
         "dark or light (default: as saved, else dark)")
      ->check(CLI::IsMember({"dark", "light"}))
      ->type_name("NAME");
  app.add_option_function<std::string>(
         "--device", [&options](const std::string& text) { options.device = require_device_wish(text); },
         fmt::format("What computes attention, in this run: cpu; gpu0, or another number; auto: GPU 0 when there is one, for "
                     "heads of at least {} tokens (default: as saved, else auto)",
                     smallest_on_auto))
      ->type_name("NAME");
  add_hint_options(app, options.hints);
  CLI::Option* planted =
      app.add_option_function<std::string>(
             "--planted", [&options](const std::string& text) { options.planted = convbasis::parse_planted(text); },
             "Open a planted input in place of files, such as k=16,n=65536,d=64,noise=0.001,seed=1")
          ->type_name("OPTIONS");
  for (const char* hint : {"--q", "--k-tensor", "--v", "--layout", "--heads", "--attention", "--attention-kind"}) {
    planted->excludes(app.get_option(hint));
  }
  app.add_option("FILE", options.files,
                 "safetensors (or its index), npy, npz or PyTorch files, opened together, or a .convscope.json session (default: "
                 "the built-in example)")
      ->type_name("");
}

bool names_session(const WindowOptions& options) {
  const auto session = std::ranges::find_if(options.files, is_session_file);
  if (session == options.files.end() || options.files.size() > 1) return false;
  const std::vector<std::string> words = hint_words(options.hints);
  if (words.empty()) return true;
  throw convbasis::InvalidArgument(words.front() + " was given with the session " + session->filename().string() +
                                   ", which says itself who is query, key and value; give its tensor files instead");
}

}  // namespace convscope
