#include "cli/window_options.h"

#include <CLI/Validators.hpp>

#include <string>

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
         "--planted", [&options](const std::string& text) { options.planted = convbasis::parse_planted(text); },
         "Open a planted input in place of files, such as k=16,n=65536,d=64,noise=0.001,seed=1")
      ->type_name("OPTIONS");
  app.add_option("FILE", options.files,
                 "safetensors or npy files, opened together, or a .convscope.json session (default: the built-in example)")
      ->type_name("");
}

}  // namespace convscope
