#include "state/settings.h"

#include "state/user_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>

namespace convscope {

namespace fs = std::filesystem;

namespace {

// Lines that begin with a semicolon are comments to Dear ImGui, so the whole text can be handed to it.
constexpr std::string_view first_words = "; convscope settings ";
constexpr std::string_view line_mark = "; ";
constexpr std::string_view last_line = "; end of settings\n";
constexpr std::uintmax_t largest_file = std::uintmax_t{1} << 20U;
constexpr std::size_t most_hidden = 64;

/// Cuts the text up to `separator` off the front of `text`; all of it when there is none.
std::string_view take_until(std::string_view& text, char separator) {
  const auto end = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) parts.push_back(take_until(text, separator));
  return parts;
}

template <class Number>
bool read_number(std::string_view text, Number least, Number largest, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= least && value <= largest;
}

/// "dark 1.25"
bool read_look(std::string_view look, Settings& settings) {
  const std::string_view theme = take_until(look, ' ');
  settings.dark = theme == "dark";
  return (settings.dark || theme == "light") && read_number(look, least_ui_scale, largest_ui_scale, settings.ui_scale);
}

bool read_size(std::string_view size, Settings& settings) {
  const std::string_view width = take_until(size, ' ');
  return read_number(width, least_window_side, largest_window_side, settings.width) &&
         read_number(size, least_window_side, largest_window_side, settings.height);
}

bool read_recent(std::string_view names, Settings& settings) {
  FileGroup group;
  for (const std::string_view name : split(names, '\t')) group.emplace_back(name);
  if (group.empty() || !std::ranges::all_of(group, &fs::path::is_absolute)) return false;
  settings.recent.push_back(std::move(group));
  return settings.recent.size() <= most_recent_files;
}

/// One line of those that a later version than the first has between look and layout. A line with an unknown name is left to a
/// later version of the program.
bool read_line(std::string_view line, Settings& settings) {
  const std::string_view name = take_until(line, ' ');
  if (name == "preset") {
    const auto preset = layout_preset(line);
    settings.preset = preset.value_or(LayoutPreset::explore);
    return preset.has_value();
  }
  if (name == "hidden") {
    settings.hidden.clear();
    for (const std::string_view panel : split(line, ' ')) settings.hidden.emplace_back(panel);
    return settings.hidden.size() <= most_hidden;
  }
  if (name == "restore") {
    settings.restore_session = line == "yes";
    return line == "yes" || line == "no";
  }
  if (name == "device") {
    const auto wish = device_wish(line);
    settings.device = wish.value_or(DeviceWish{});
    return wish.has_value();
  }
  if (name == "window") return read_size(line, settings);
  if (name == "recent") return read_recent(line, settings);
  return true;
}

std::string joined(const FileGroup& files) {
  std::string text;
  for (const fs::path& file : files) {
    if (!text.empty()) text += '\t';
    text += file.string();
  }
  return text;
}

}  // namespace

void remember_files(std::vector<FileGroup>& recent, const FileGroup& files) {
  FileGroup group;
  for (const fs::path& file : files) {
    std::error_code error;
    const fs::path whole = fs::absolute(file, error).lexically_normal();
    if (error || whole.string().find_first_of("\t\n\r") != std::string::npos) return;
    group.push_back(whole);
  }
  if (group.empty()) return;
  std::erase(recent, group);
  recent.insert(recent.begin(), std::move(group));
  if (recent.size() > most_recent_files) recent.resize(most_recent_files);
}

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
  std::string text = fmt::format("{}2 {} {:.2f}\n", first_words, settings.dark ? "dark" : "light", settings.ui_scale);
  text += fmt::format("; preset {}\n; hidden {}\n; restore {}\n; device {}\n", name_of(settings.preset),
                      fmt::join(settings.hidden, " "), settings.restore_session ? "yes" : "no", name_of(settings.device));
  if (settings.width > 0 && settings.height > 0) text += fmt::format("; window {} {}\n", settings.width, settings.height);
  for (const FileGroup& group : settings.recent) text += fmt::format("; recent {}\n", joined(group));
  return text + fmt::format("{}\n{}", settings.layout, last_line);
}

std::optional<Settings> parse_settings(std::string_view text) {
  if (!text.starts_with(first_words) || !text.ends_with(last_line)) return std::nullopt;
  text.remove_prefix(first_words.size());
  text.remove_suffix(last_line.size());
  if (text.find('\n') == std::string_view::npos) return std::nullopt;
  std::string_view look = take_until(text, '\n');
  const std::string_view version = take_until(look, ' ');
  Settings settings;
  if ((version != "1" && version != "2") || !read_look(look, settings)) return std::nullopt;
  while (version == "2" && text.starts_with(line_mark)) {
    if (!read_line(take_until(text, '\n').substr(line_mark.size()), settings)) return std::nullopt;
  }
  settings.layout = text;
  if (!settings.layout.empty()) settings.layout.pop_back();  // the line break before the last line
  return settings;
}

LoadedSettings load_settings(const fs::path& path) {
  std::error_code error;
  if (path.empty() || !fs::exists(path, error)) return {};
  if (auto settings = parse_settings(read_user_file(path, largest_file).value_or(""))) return {std::move(*settings), ""};
  return {{},
          fmt::format("{}: not a settings file of this program, so the defaults are used; {}", path.string(), keep_aside(path))};
}

void save_settings(const fs::path& path, const Settings& settings) { write_user_file(path, settings_text(settings)); }

}  // namespace convscope
