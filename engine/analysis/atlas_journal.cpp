#include "analysis/atlas_journal.h"

#include "core/disk.h"
#include "core/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>

namespace convbasis {
namespace {

constexpr std::string_view heading = "convscope atlas journal 1";
constexpr std::size_t checksum_digits = 16;
constexpr std::size_t longest_line = std::size_t{16} << 20U;  ///< a manifest of a million heads; records are some kilobytes

/// The text of a line "checksum text", or nothing when they do not belong together.
std::optional<std::string_view> checked(std::string_view line) {
  if (line.size() <= checksum_digits || line[checksum_digits] != ' ') return std::nullopt;
  const std::string_view text = line.substr(checksum_digits + 1);
  if (checksum(text) != line.substr(0, checksum_digits)) return std::nullopt;
  return text;
}

/// The next line without its newline; nothing at the end, and for a last line that has none.
std::optional<std::string> next_line(std::istream& file, const std::filesystem::path& path) {
  std::string line;
  std::streambuf& bytes = *file.rdbuf();
  constexpr auto end = std::char_traits<char>::eof();
  for (auto byte = bytes.sbumpc(); byte != end; byte = bytes.sbumpc()) {
    if (byte == '\n') return line;
    if (line.size() == longest_line)
      throw FileError(path.string(), "has a line of more than 16 MiB; it is no journal of an atlas");
    line += std::char_traits<char>::to_char_type(byte);
  }
  return std::nullopt;
}

/// Where the head of a record is in the manifest.
std::optional<Index> place_of(const AtlasManifest& manifest, const AtlasPlace& place) {
  const auto found = std::ranges::lower_bound(manifest.heads, std::pair(place.layer, place.head), {},
                                              [](const AtlasPlace& other) { return std::pair(other.layer, other.head); });
  if (found == manifest.heads.end() || *found != place) return std::nullopt;
  return found - manifest.heads.begin();
}

/// False when the line is no record of a head of this manifest.
bool take_record(std::string_view line, AtlasPart& part) {
  const auto text = checked(line);
  if (!text) return false;
  try {
    AtlasRecord record = parse_atlas_record(*text);
    const auto place = place_of(part.manifest, record.place);
    const std::size_t figures = part.manifest.options.ks.size();
    const HeadAtlasEntry& entry = record.entry;
    const bool fits =
        entry.recover_errors.size() == figures && entry.fit_errors.size() == figures && entry.rank_errors.size() == figures;
    if (!place || (!fits && entry.failure.empty())) return false;
    part.entries.insert_or_assign(*place, std::move(record.entry));
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

AtlasPart read_atlas_journal(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) throw FileError(path.string(), "is not there, or is no file");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw FileError(path.string(), "cannot be read");
  const auto no_journal = [&] {
    return FileError(path.string(), "is no journal of an atlas of this version; --restart replaces it");
  };
  if (next_line(file, path) != heading) throw no_journal();
  const auto manifest_line = next_line(file, path);
  const auto manifest_text = manifest_line ? checked(*manifest_line) : std::nullopt;
  if (!manifest_text) throw no_journal();
  AtlasPart part;
  try {
    part.manifest = parse_atlas_manifest(*manifest_text);
  } catch (const Error& error) {
    throw FileError(path.string(), error.what());
  }
  part.whole_bytes = heading.size() + manifest_line->size() + 2;
  while (const auto line = next_line(file, path)) {
    part.whole_bytes += line->size() + 1;
    if (!take_record(*line, part)) ++part.damaged;
  }
  return part;
}

AtlasJournal::AtlasJournal(const std::filesystem::path& path, const AtlasManifest& manifest, bool restart) : path_(path) {
  std::error_code ignored;
  // Before its manifest is on the disk a journal holds nothing that could be lost.
  const bool begun = std::filesystem::exists(path, ignored) && std::filesystem::file_size(path, ignored) > heading.size() + 1;
  if (begun && !restart) {
    AtlasPart part = read_atlas_journal(path);
    const std::string differs = difference(part.manifest, manifest);
    if (!differs.empty()) {
      throw InvalidArgument(fmt::format("{} is the journal of another atlas: {}; --restart begins anew, or name another output",
                                        path.string(), differs));
    }
    finished_ = std::move(part.entries);
    damaged_ = part.damaged;
    std::filesystem::resize_file(path, part.whole_bytes, ignored);  // a torn line would spoil the next one
    open("ab");
    return;
  }
  open("wb");
  const std::string text = fmt::format("{}\n", heading);
  if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size()) throw FileError(path.string(), "cannot be written");
  write_line(atlas_manifest_text(manifest));
}

void AtlasJournal::open(const char* mode) {
  file_.reset(std::fopen(path_.string().c_str(), mode));
  if (!file_) throw FileError(path_.string(), fmt::format("cannot be written: {}", std::strerror(errno)));
}

void AtlasJournal::write_line(std::string_view text) {
  const std::string line = fmt::format("{} {}\n", checksum(text), text);
  if (std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size() || !flush_to_disk(file_.get())) {
    throw FileError(path_.string(), fmt::format("cannot be written: {}", std::strerror(errno)));
  }
}

void AtlasJournal::append(std::string_view record) { write_line(record); }

void AtlasJournal::remove() {
  file_.reset();
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

}  // namespace convbasis
