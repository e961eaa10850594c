#include "state/settings.h"

#include "core/errors.h"
#include "data/npy_writer.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

namespace convscope {

namespace fs = std::filesystem;

namespace {

// Lines that begin with a semicolon are comments to Dear ImGui, so the whole text can be handed to it.
constexpr std::string_view first_words = "; convscope settings 1 ";
constexpr std::string_view last_line = "; end of settings\n";
constexpr std::uintmax_t largest_file = std::uintmax_t{1} << 20U;

}  // namespace

fs::path settings_path() {
  const auto folder = [](const char* variable) {
    const char* value = std::getenv(variable);
    return fs::path(value ? value : "");
  };
  if (const fs::path config = folder("XDG_CONFIG_HOME"); config.is_absolute()) return config / "convscope" / "layout.ini";
  if (const fs::path home = folder("HOME"); home.is_absolute()) return home / ".config" / "convscope" / "layout.ini";
  return {};
}

std::string settings_text(const Settings& settings) {
  return fmt::format("{}{} {:.2f}\n{}\n{}", first_words, settings.dark ? "dark" : "light", settings.ui_scale, settings.layout,
                     last_line);
}

std::optional<Settings> parse_settings(std::string_view text) {
  if (!text.starts_with(first_words) || !text.ends_with(last_line)) return std::nullopt;
  text.remove_prefix(first_words.size());
  text.remove_suffix(last_line.size());
  const auto line_end = text.find('\n');
  if (line_end == std::string_view::npos) return std::nullopt;
  const std::string look(text.substr(0, line_end));
  Settings settings;
  settings.layout = text.substr(line_end + 1);
  if (!settings.layout.empty()) settings.layout.pop_back();  // the line break before the last line
  const auto space = look.find(' ');
  const std::string theme = look.substr(0, space);
  if (space == std::string::npos || (theme != "dark" && theme != "light")) return std::nullopt;
  settings.dark = theme == "dark";
  settings.ui_scale = std::strtod(look.c_str() + space, nullptr);
  if (!(settings.ui_scale >= least_ui_scale && settings.ui_scale <= largest_ui_scale)) return std::nullopt;
  return settings;
}

LoadedSettings load_settings(const fs::path& path) {
  std::error_code error;
  if (path.empty() || !fs::exists(path, error)) return {};
  std::string text;
  if (fs::is_regular_file(path, error) && fs::file_size(path, error) <= largest_file) {
    std::ifstream stream(path, std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(stream), {});
  }
  if (auto settings = parse_settings(text)) return {std::move(*settings), ""};
  const fs::path aside = path.string() + ".broken";
  fs::rename(path, aside, error);
  const std::string kept = error ? "it could not be moved aside" : "it was kept as " + aside.filename().string();
  return {{}, fmt::format("{}: not a settings file of this program, so the defaults are used; {}", path.string(), kept)};
}

void save_settings(const fs::path& path, const Settings& settings) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error) throw convbasis::FileError(path.parent_path().string(), "the folder cannot be made: " + error.message());
  convbasis::write_file_atomically(path, settings_text(settings));
}

}  // namespace convscope
