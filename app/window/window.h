/// \file
/// The window of Convscope, for its command line: shown, or drawn off screen into a picture. Needs no window header.
#pragma once

#include "core/types.h"
#include "data/activations.h"
#include "data/planted.h"
#include "state/device_wish.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace convscope {

enum class Theme : std::uint8_t { dark, light };

struct WindowOptions {
  std::vector<std::filesystem::path> files;          ///< opened together; empty: the built-in example
  convbasis::ActivationHints hints = {};             ///< about the files
  std::optional<convbasis::PlantedOptions> planted;  ///< in place of files
  std::optional<convbasis::Index> layer;             ///< unset: the first layer
  std::optional<convbasis::Index> head;              ///< unset: head 0
  std::optional<double> ui_scale;                    ///< 0.5 to 4; unset: as saved, else 1
  std::optional<Theme> theme;                        ///< unset: as saved, else dark
  std::optional<DeviceWish> device;                  ///< for this run alone; unset: as saved, else auto
};

struct SnapshotOptions : WindowOptions {
  std::filesystem::path png;
  bool curves = false;    ///< runtime curves are measured, too, which takes half a minute
  bool ladder = false;    ///< the ladder of the head is in sight
  bool training = false;  ///< the one-layer problem is trained, in the layout that shows it
  int width = 1600;       ///< pixels
  int height = 1000;
};

/// Shows the window until it is closed. Returns the exit code: 0, or 1 after one sentence on the standard error when there is no
/// display or no OpenGL 3.3.
int run_window(const WindowOptions& options);

/// Draws the window with its default layout off screen, once all work is done, and writes the PNG in one step. Saved layout and
/// settings are neither read nor written. Returns the exit code: 0; 1 without OpenGL or when the picture cannot be written; 2 for
/// a layer or head that does not exist; 3 for a bad input file. Each but 0 comes with one sentence on the standard error.
int run_snapshot(const SnapshotOptions& options);

/// The OpenGL renderer's name and version, for `convscope doctor`. Throws convbasis::Error with the reason when there is no
/// display or no OpenGL 3.3.
std::string gl_renderer();

}  // namespace convscope
