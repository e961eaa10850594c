/// \file
/// What the window remembers between runs: look, layout and recent files, in one file of the user's configuration folder.
#pragma once

#include "state/device_wish.h"
#include "state/layout_preset.h"

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace convscope {

inline constexpr double least_ui_scale = 0.5;
inline constexpr double largest_ui_scale = 4.0;
inline constexpr std::size_t most_recent_files = 10;
inline constexpr int least_window_side = 200;  ///< pixels
inline constexpr int largest_window_side = 16384;

/// Files that were opened together, or one session file.
using FileGroup = std::vector<std::filesystem::path>;

struct Settings {
  bool dark = true;
  double ui_scale = 1.0;  ///< in [least_ui_scale, largest_ui_scale]
  std::string layout;     ///< where the panels are, in Dear ImGui's own words; empty means that of the preset
  LayoutPreset preset = LayoutPreset::explore;
  std::vector<std::string> hidden{"log"};  ///< panels that are not shown, by their short names
  std::vector<FileGroup> recent = {};      ///< newest first, absolute, at most most_recent_files
  int width = 0;                           ///< of the window, pixels; 0: the usual size
  int height = 0;
  bool restore_session = true;  ///< begin where the last run ended
  DeviceWish device = {};       ///< of this machine, and so no part of a session
};

/// Puts the files, made absolute, first in the list, in place of an older mention of them. Files whose names have a line break or
/// a tab are left out: the settings are lines of text.
void remember_files(std::vector<FileGroup>& recent, const FileGroup& files);

/// $XDG_CONFIG_HOME/convscope/layout.ini, or the same under ~/.config; empty when neither variable is set.
std::filesystem::path settings_path();

/// One text with a first and a last line of its own, so that a file that was cut short is noticed.
std::string settings_text(const Settings& settings);
/// Empty unless `text` is what settings_text writes, or what the first version of the program wrote.
std::optional<Settings> parse_settings(std::string_view text);

struct LoadedSettings {
  Settings settings;
  std::string warning;  ///< one line, when the file was there but of no use
};

/// A missing file gives the defaults; a broken one too, with a warning, and is kept aside as <path>.broken. Never throws.
LoadedSettings load_settings(const std::filesystem::path& path);
/// Replaces the file in one step, making its folder when needed. Throws FileError.
void save_settings(const std::filesystem::path& path, const Settings& settings);

}  // namespace convscope
