/// \file
/// Options that the window and its snapshot share.
#pragma once

#include "window/window.h"

#include <CLI/App.hpp>

namespace convscope {

/// Declares FILE..., --layer, --head, --ui-scale, --theme, --device, --planted and the options of add_hint_options().
void add_window_options(CLI::App& app, WindowOptions& options);

/// Whether FILE is one session. Throws InvalidArgument when hints about tensors come with it.
bool names_session(const WindowOptions& options);

}  // namespace convscope
