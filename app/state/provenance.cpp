#include "state/provenance.h"

#include "state/assets.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace convscope {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view plain_characters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
constexpr std::string_view replacement_character = "\xEF\xBF\xBD";

/// Bytes of the UTF-8 character that `text` begins with; 0 when it begins with none.
std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t first = byte(0);
  if (first < 0x80U) return 1;
  std::size_t length = 0;
  if (first >= 0xC2U && first < 0xE0U) length = 2;
  if (first >= 0xE0U && first < 0xF0U) length = 3;
  if (first >= 0xF0U && first < 0xF5U) length = 4;
  if (length == 0 || text.size() < length) return 0;
  std::uint32_t point = first & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return 0;
    point = point << 6U | (byte(i) & 0x3FU);
  }
  const bool overlong = (length == 3 && point < 0x800U) || (length == 4 && point < 0x10000U);
  const bool surrogate = point >= 0xD800U && point < 0xE000U;
  return overlong || surrogate || point > 0x10FFFFU ? 0 : length;
}

std::string planted_specification(const convbasis::PlantedOptions& options) {
  std::string text = fmt::format("k={},n={},d={},T={},noise={},spread={},seed={}", options.k, options.n, options.d, options.T,
                                 options.noise, options.spread, options.seed);
  if (options.value_width != 0) text += fmt::format(",value_width={}", options.value_width);
  return text;
}

/// The words that name the files. None for the built-in example, which the command line opens on its own.
std::string file_words(const std::vector<fs::path>& paths) {
  if (paths.size() == 1 && paths.front() == find_asset(example_asset)) return "";
  std::string words;
  for (const fs::path& path : paths) {
    std::error_code error;
    const fs::path whole = fs::absolute(path, error);
    // A name that begins with a dash would be read as an option.
    const std::string name = error ? (fs::path(".") / path).string() : whole.string();
    words += ' ';
    words += shell_quoted(name);
  }
  return words;
}

/// The options that say who is query, key and value.
std::string hint_text(const convbasis::ActivationHints& hints) {
  const std::vector<std::string> words = hint_words(hints);
  std::string text;
  for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
    // A name that begins with a dash would be read as an option.
    const bool dash = words[i + 1].starts_with('-');
    text += ' ' + words[i] + (dash ? "=" : " ") + shell_quoted(words[i + 1]);
  }
  return text;
}

/// "kind svd · k 16", "kind features · degree 2 · features 2145".
std::string rank_text(const Provenance& provenance) {
  const convbasis::RankOptions& options = provenance.rank_options;
  const std::string kind = fmt::format("kind {} · ", convbasis::name_of(options.kind));
  if (options.kind == convbasis::RankKind::svd) return kind + fmt::format("k {}", options.k);
  return kind + fmt::format("degree {} · features {}", options.degree, provenance.k_found);
}

}  // namespace

Provenance provenance_of(const AnalysisResult& result) {
  const auto& analysis = *result.analysis;
  return {.name = result.source->name(),
          .model = result.source->model(),
          .recipe = result.source->recipe(),
          .layer = result.request.layer,
          .head = result.request.head,
          .n = analysis.n,
          .tokens = result.source->layer(result.request.layer).size,
          .method = result.request.method,
          .options = analysis.options,
          .fit_options = analysis.fit_options,
          .rank_options = analysis.rank ? analysis.rank->options : convbasis::RankOptions{},
          .k_found = analysis.rank ? analysis.rank->rank : analysis.recovery.basis.count(),
          .device = result.device,
          .wish = result.wish,
          .version = CONVSCOPE_VERSION};
}

std::string work_text(const AnalysisResult& result) {
  const std::string& path = result.analysis->apply.path;
  // A product that the GPU made says so itself.
  if (path.empty() || path.starts_with(result.device)) return path.empty() ? result.device : path;
  return fmt::format("{}, {}", result.device, path);
}

std::string head_line(const Provenance& provenance) {
  return single_line(
      fmt::format("{} · layer {} · head {} · n {}", provenance.name, provenance.layer, provenance.head, provenance.n));
}

std::string provenance_line(const Provenance& provenance) {
  const auto& options = provenance.options;
  std::string line = head_line(provenance);
  if (const auto* planted = std::get_if<convbasis::PlantedOptions>(&provenance.recipe)) {
    line += " · planted " + planted_specification(*planted);
  }
  line += fmt::format(" · method {} · ", name_of(provenance.method));
  const std::string k = fmt::format("k {} (found {})", options.k, provenance.k_found);
  if (provenance.method == Method::rank) {
    line += rank_text(provenance);
  } else if (provenance.method == Method::fit) {
    line += fmt::format("{} · band {} · columns {}", k, provenance.fit_options.band, provenance.fit_options.columns);
  } else {
    line += fmt::format("{} · T {} · delta {} · eps {} · search {}", k, options.T, options.delta, options.eps,
                        convbasis::name_of(options.search));
  }
  return line + fmt::format(" · float32 · {} · convscope {}", single_line(provenance.device), provenance.version);
}

std::string reproducing_command(const Provenance& provenance) {
  std::string command = "convscope analyze";
  if (const auto* planted = std::get_if<convbasis::PlantedOptions>(&provenance.recipe)) {
    command += " --planted " + shell_quoted(planted_specification(*planted));
    if (provenance.n != provenance.tokens) command += fmt::format(" --n {}", provenance.n);
  } else {
    const auto& files = std::get<FilesRecipe>(provenance.recipe);
    command += file_words(files.paths) + hint_text(files.hints);
    command += fmt::format(" --layer {} --head {} --n {}", provenance.layer, provenance.head, provenance.n);
  }
  // Without it the same rule chooses there.
  if (provenance.wish.kind != DeviceWish::Kind::automatic) command += " --device " + name_of(provenance.wish);
  const auto& options = provenance.options;
  if (provenance.method == Method::fit) {
    return command + fmt::format(" --method fit --k {} --band {} --columns {}", options.k, provenance.fit_options.band,
                                 provenance.fit_options.columns);
  }
  if (provenance.method == Method::rank) {
    const convbasis::RankOptions& rank = provenance.rank_options;
    const bool svd = rank.kind == convbasis::RankKind::svd;
    return command + fmt::format(" --method rank --rank-kind {} {} {}", convbasis::name_of(rank.kind), svd ? "--k" : "--degree",
                                 svd ? rank.k : rank.degree);
  }
  return command + fmt::format(" --k {} --T {} --delta {} --eps {} --search {}", options.k, options.T, options.delta, options.eps,
                               convbasis::name_of(options.search));
}

std::string shell_quoted(std::string_view word) {
  if (!word.empty() && word.find_first_not_of(plain_characters) == std::string_view::npos) return std::string(word);
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'') quoted += "'\\'";  // out of the quotes, a quote by itself, and in again
    quoted += c;
  }
  quoted += '\'';
  return quoted;
}

std::string single_line(std::string_view text) {
  std::string line;
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    const auto first = static_cast<unsigned char>(text.front());
    // U+0080 to U+009F are control characters, too, and U+2028 and U+2029 break lines.
    const bool control = first < 0x20U || first == 0x7FU || (length == 2 && first == 0xC2U && (text[1] & 0x60) == 0) ||
                         text.starts_with("\xE2\x80\xA8") || text.starts_with("\xE2\x80\xA9");
    if (length == 0) {
      line += replacement_character;
    } else if (control) {
      line += ' ';
    } else {
      line += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return line;
}

}  // namespace convscope
