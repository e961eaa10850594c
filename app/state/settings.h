/// \file
/// What the window remembers between runs: look and layout, in one file of the user's configuration folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace convscope {

inline constexpr double least_ui_scale = 0.5;
inline constexpr double largest_ui_scale = 4.0;

struct Settings {
  bool dark = true;
  double ui_scale = 1.0;  ///< in [least_ui_scale, largest_ui_scale]
  std::string layout;     ///< where the panels are, in Dear ImGui's own words; empty means the default layout
};

/// $XDG_CONFIG_HOME/convscope/layout.ini, or the same under ~/.config; empty when neither variable is set.
std::filesystem::path settings_path();

/// One text with a first and a last line of its own, so that a file that was cut short is noticed.
std::string settings_text(const Settings& settings);
/// Empty unless `text` is what settings_text writes.
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
