/// \file
/// Options that the window and its snapshot share.
#pragma once

#include "window/window.h"

#include <CLI/App.hpp>

namespace convscope {

/// Declares FILE..., --layer, --head, --ui-scale and --theme.
void add_window_options(CLI::App& app, WindowOptions& options);

}  // namespace convscope
