#include "data/zip.h"

#include "core/errors.h"
#include "data/untrusted.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_set>

namespace convbasis {
namespace {

constexpr std::uint64_t most_entries = 100'000;
constexpr std::uint64_t longest_name = 1024;
constexpr std::uint64_t longest_directory = std::uint64_t{64} << 20U;
/// Deflate codes at most 258 bytes in 2 bits.
constexpr std::uint64_t highest_ratio = 1032;

constexpr std::uint64_t end_bytes = 22;         ///< end of central directory record, without its comment
constexpr std::uint64_t end64_bytes = 56;       ///< the same of ZIP64, as far as it is read
constexpr std::uint64_t locator_bytes = 20;     ///< where that lies
constexpr std::uint64_t central_bytes = 46;     ///< of one entry in the directory, without name, extra fields and comment
constexpr std::uint64_t local_bytes = 30;       ///< in front of an entry's data, without name and extra fields
constexpr std::uint64_t marker32 = 0xFFFFFFFF;  ///< "see the ZIP64 record"
constexpr std::uint64_t marker16 = 0xFFFF;

/// Little-endian numbers of at most 8 bytes out of a text, one after the other. The caller has checked that they are there.
class Fields {
 public:
  explicit Fields(std::string_view text) : text_(text) {}
  std::uint64_t next(std::size_t bytes) {
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < bytes; ++i) number |= std::uint64_t{static_cast<unsigned char>(text_[at_ + i])} << (8 * i);
    at_ += bytes;
    return number;
  }
  void skip(std::size_t bytes) { at_ += bytes; }
  std::string_view text(std::size_t bytes) {
    at_ += bytes;
    return text_.substr(at_ - bytes, bytes);
  }
  std::size_t left() const { return text_.size() - at_; }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

/// Where the central directory lies and how many entries it has.
struct Directory {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t entries = 0;
};

/// Reads the directory of one archive; keeps what every step needs.
class DirectoryReader {
 public:
  explicit DirectoryReader(const ByteSource& archive) : archive_(archive) {}

  std::vector<ZipEntry> read() {
    const Directory directory = find_directory();
    const std::string text = read_text(archive_, directory.offset, directory.bytes);
    Fields fields(text);
    std::vector<ZipEntry> entries;
    std::unordered_set<std::string> names;
    for (std::uint64_t i = 0; i < directory.entries; ++i) {
      entries.push_back(read_entry(fields, directory));
      if (!names.insert(entries.back().name).second) fail(fmt::format("has two entries {}", in_quotes(entries.back().name)));
    }
    if (fields.left() != 0) {
      fail(fmt::format("its zip directory has {} bytes after the last of its {} entries", fields.left(), directory.entries));
    }
    require_no_overlap(entries);
    return entries;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const { throw FileError(archive_.name(), problem); }

  /// The end record stands at the end of the file, before a comment of at most 65,535 bytes.
  Directory find_directory() {
    const std::uint64_t count = std::min(archive_.size(), end_bytes + marker16);
    const std::string tail = read_text(archive_, archive_.size() - count, count);
    for (std::size_t at = tail.size() < end_bytes ? 0 : tail.size() - end_bytes + 1; at-- > 0;) {
      if (!std::string_view(tail).substr(at).starts_with("PK\x05\x06")) continue;
      if (Fields(std::string_view(tail).substr(at + 20)).next(2) != tail.size() - at - end_bytes) continue;
      return read_end(std::string_view(tail).substr(at), archive_.size() - count + at);
    }
    fail("is a zip archive without the list of its entries, which should stand at its end; is the file cut off?");
  }

  Directory read_end(std::string_view record, std::uint64_t position) {
    Fields fields(record.substr(4));
    const std::uint64_t disk = fields.next(2);
    const std::uint64_t directory_disk = fields.next(2);
    const std::uint64_t entries_here = fields.next(2);
    Directory directory;
    directory.entries = fields.next(2);
    directory.bytes = fields.next(4);
    directory.offset = fields.next(4);
    const bool zip64 = disk == marker16 || directory_disk == marker16 || entries_here == marker16 ||
                       directory.entries == marker16 || directory.bytes == marker32 || directory.offset == marker32;
    if (zip64 && has_locator(position)) return read_end64(position);
    require_one_part(disk, directory_disk, entries_here, directory.entries);
    return checked(directory, position);
  }

  bool has_locator(std::uint64_t end) const {
    return end >= locator_bytes && read_text(archive_, end - locator_bytes, 4) == "PK\x06\x07";
  }

  Directory read_end64(std::uint64_t end) {
    const std::string locator = read_text(archive_, end - locator_bytes, locator_bytes);
    Fields where(std::string_view(locator).substr(8));
    const std::uint64_t position = where.next(8);
    if (position > end - locator_bytes || end - locator_bytes - position < end64_bytes) {
      fail(fmt::format("its ZIP64 record should be at position {}, which is not before its end", position));
    }
    const std::string record = read_text(archive_, position, end64_bytes);
    if (!record.starts_with("PK\x06\x06")) fail(fmt::format("has no ZIP64 record at position {}, where its end says", position));
    Fields fields(std::string_view(record).substr(16));
    const std::uint64_t disk = fields.next(4);
    const std::uint64_t directory_disk = fields.next(4);
    const std::uint64_t entries_here = fields.next(8);
    Directory directory;
    directory.entries = fields.next(8);
    directory.bytes = fields.next(8);
    directory.offset = fields.next(8);
    require_one_part(disk, directory_disk, entries_here, directory.entries);
    return checked(directory, position);
  }

  void require_one_part(std::uint64_t disk, std::uint64_t directory_disk, std::uint64_t here, std::uint64_t all) const {
    if (disk != 0 || directory_disk != 0 || here != all) fail("is one part of a zip archive in several files; join them first");
  }

  /// `end` is where the records after the directory begin.
  Directory checked(const Directory& directory, std::uint64_t end) const {
    if (directory.offset > end || directory.bytes > end - directory.offset) {
      fail(fmt::format("its zip directory should take {} bytes from position {} on, but its end stands at {}", directory.bytes,
                       directory.offset, end));
    }
    if (directory.entries > most_entries) {
      fail(fmt::format("its zip directory lists {} entries; at most {} are read", directory.entries, most_entries));
    }
    if (directory.bytes > longest_directory) {
      fail(fmt::format("its zip directory is {} bytes long; at most {} are read", directory.bytes, longest_directory));
    }
    return directory;
  }

  ZipEntry read_entry(Fields& fields, const Directory& directory) {
    if (fields.left() < central_bytes || fields.next(4) != 0x02014B50) {
      fail("its zip directory is damaged: it holds fewer entries than it says");
    }
    fields.skip(4);  // versions
    const std::uint64_t flags = fields.next(2);
    const std::uint64_t method = fields.next(2);
    fields.skip(4);  // time
    ZipEntry entry;
    entry.crc = static_cast<std::uint32_t>(fields.next(4));
    entry.stored_bytes = fields.next(4);
    entry.bytes = fields.next(4);
    const std::uint64_t name_bytes = fields.next(2);
    const std::uint64_t extra_bytes = fields.next(2);
    const std::uint64_t comment_bytes = fields.next(2);
    const std::uint64_t disk = fields.next(2);
    fields.skip(6);  // attributes
    std::uint64_t local = fields.next(4);
    if (fields.left() < name_bytes + extra_bytes + comment_bytes) {
      fail("its zip directory is damaged: an entry's name or extra fields leave it");
    }
    if (name_bytes > longest_name) {
      fail(fmt::format("has an entry whose name is {} bytes long; at most {} are read", name_bytes, longest_name));
    }
    entry.name = fields.text(name_bytes);
    require_readable(entry.name, flags, method);
    entry.deflated = method == 8;
    read_extra(fields.text(extra_bytes), entry, local);
    fields.text(comment_bytes);
    if (disk != 0 && disk != marker16) fail(fmt::format("entry {} lies in another part of the archive", in_quotes(entry.name)));
    require_possible_size(entry);
    locate(entry, local, directory.offset);
    return entry;
  }

  void require_readable(const std::string& name, std::uint64_t flags, std::uint64_t method) const {
    constexpr std::uint64_t encrypted = 0x2041;  // bits 0 and 6, and 13 for a hidden directory
    if ((flags & encrypted) != 0) fail(fmt::format("entry {} is encrypted; save the file without a password", in_quotes(name)));
    if (method != 0 && method != 8) {
      fail(fmt::format("entry {} is compressed by method {}; only stored (0) and deflated (8) entries are read", in_quotes(name),
                       method));
    }
  }

  /// ZIP64 sizes and place stand in the extra field of kind 1, in this order, and only those that are marked.
  void read_extra(std::string_view extra, ZipEntry& entry, std::uint64_t& local) const {
    Fields fields(extra);
    while (fields.left() >= 4) {
      const std::uint64_t kind = fields.next(2);
      const std::uint64_t length = fields.next(2);
      if (length > fields.left()) fail(fmt::format("entry {} has a damaged extra field", in_quotes(entry.name)));
      Fields field(fields.text(length));
      if (kind != 1) continue;
      for (std::uint64_t* number : {&entry.bytes, &entry.stored_bytes, &local}) {
        if (*number != marker32) continue;
        if (field.left() < 8) fail(fmt::format("entry {} lacks a size in its ZIP64 field", in_quotes(entry.name)));
        *number = field.next(8);
      }
      return;
    }
  }

  void require_possible_size(const ZipEntry& entry) const {
    const std::uint64_t most = entry.stored_bytes > archive_.size() ? 0 : entry.stored_bytes * highest_ratio;
    if (entry.deflated ? entry.bytes > most : entry.bytes != entry.stored_bytes) {
      fail(fmt::format("entry {} takes {} bytes in the archive and {} outside, which {} cannot give", in_quotes(entry.name),
                       entry.stored_bytes, entry.bytes, entry.deflated ? "deflate" : "a stored entry"));
    }
  }

  /// Sets where the data begin, which only the header in front of them says; its sizes are not used (numpy and others leave
  /// markers there).
  void locate(ZipEntry& entry, std::uint64_t local, std::uint64_t end) {
    const auto leaves = [&] {
      fail(fmt::format("entry {} should take {} bytes from position {} on, but the entries end at {}", in_quotes(entry.name),
                       entry.stored_bytes, local, end));
    };
    if (local > end || end - local < local_bytes) leaves();
    const std::string header = read_text(archive_, local, local_bytes);
    Fields fields(header);
    if (fields.next(4) != 0x04034B50) fail(fmt::format("has no entry {} at position {}", in_quotes(entry.name), local));
    fields.skip(22);  // what the directory says better
    const std::uint64_t name_bytes = fields.next(2);
    const std::uint64_t extra_bytes = fields.next(2);
    const std::uint64_t room = end - local - local_bytes;
    if (name_bytes + extra_bytes > room || entry.stored_bytes > room - name_bytes - extra_bytes) leaves();
    if (name_bytes != entry.name.size() || read_text(archive_, local + local_bytes, name_bytes) != entry.name) {
      fail(fmt::format("entry {} has another name in its own header", in_quotes(entry.name)));
    }
    entry.data = local + local_bytes + name_bytes + extra_bytes;
    spans_.push_back({local, entry.data + entry.stored_bytes});
  }

  /// Overlapping entries are how a small archive claims to hold much, and how two readers see different files.
  void require_no_overlap(const std::vector<ZipEntry>& entries) {
    std::vector<std::size_t> order(entries.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return spans_[a].begin < spans_[b].begin; });
    for (std::size_t i = 1; i < order.size(); ++i) {
      if (spans_[order[i]].begin >= spans_[order[i - 1]].end) continue;
      fail(fmt::format("entries {} and {} overlap", in_quotes(entries[order[i - 1]].name), in_quotes(entries[order[i]].name)));
    }
  }

  /// Of an entry with the header in front of it.
  struct Span {
    std::uint64_t begin;
    std::uint64_t end;
  };

  const ByteSource& archive_;
  std::vector<Span> spans_;
};

}  // namespace

std::vector<ZipEntry> read_zip_directory(const ByteSource& archive) { return DirectoryReader(archive).read(); }

std::string name_of_entry(const ByteSource& archive, const ZipEntry& entry) {
  return fmt::format("{}: entry {}", archive.name(), in_quotes(entry.name));
}

}  // namespace convbasis
