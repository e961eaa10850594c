/// \file
/// Zip archives, as numpy and PyTorch write them: the list of entries, and the bytes of one entry. Archives are hostile: the
/// central directory is what counts, and every place and size in it is checked before it is used. Follows PKWARE's APPNOTE 6.3.
#pragma once

#include "core/run_context.h"
#include "data/byte_source.h"

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace convbasis {

/// One entry, with sizes from the central directory; its data lie inside the archive and inside no other entry.
struct ZipEntry {
  std::string name;
  bool deflated = false;
  std::uint32_t crc = 0;           ///< CRC-32 of the bytes; some of PyTorch's writers leave it 0
  std::uint64_t data = 0;          ///< position of the first stored byte
  std::uint64_t stored_bytes = 0;  ///< in the archive
  std::uint64_t bytes = 0;         ///< after inflating; equal to stored_bytes unless deflated
};

/// The entries of an archive in its directory's order. Throws FileError: no archive or cut off, in several parts, encrypted,
/// compressed other than by deflate, two entries of one name, entries that overlap or leave the file, sizes that deflate cannot
/// give, more than 100,000 entries, names of more than 1024 bytes. Cost: two short reads for each entry; no data are read.
std::vector<ZipEntry> read_zip_directory(const ByteSource& archive);

/// The first bytes of an entry: at most `count`, fewer where it ends before. Throws FileError, beginning with `name`. Cost:
/// count.
std::vector<std::byte> first_bytes(const ByteSource& archive, const ZipEntry& entry, std::size_t count, const std::string& name);

/// All bytes of an entry, with their CRC-32 checked; a CRC-32 of 0 in the directory is let pass when `zero_crc_passes`. Throws
/// FileError, beginning with `name`: larger than `most_bytes`, damaged, or of another size or CRC-32 than the directory says;
/// Cancelled.
std::vector<std::byte> whole_entry(const ByteSource& archive, const ZipEntry& entry, std::uint64_t most_bytes,
                                   bool zero_crc_passes, const std::string& name, const RunContext& context = {});

/// The deflated entries of one archive that were read, inflated whole: deflate knows no positions. Holds at most 2 GiB; what was
/// not used for longest is dropped, and inflated again when needed. Thread-safe; one thread at a time inflates.
class InflatedEntries {
 public:
  static constexpr std::uint64_t most_bytes = std::uint64_t{2} << 30U;
  using Bytes = std::shared_ptr<const std::vector<std::byte>>;

  /// Holds at most `capacity` bytes.
  explicit InflatedEntries(bool zero_crc_passes, std::uint64_t capacity = most_bytes)
      : zero_crc_passes_(zero_crc_passes), capacity_(capacity) {}

  /// Throws as whole_entry() does, for entries larger than the capacity too. Cost: the whole entry, unless it is held.
  Bytes get(const ByteSource& archive, const ZipEntry& entry, const std::string& name, const RunContext& context);
  std::uint64_t held_bytes() const;

 private:
  struct Held {
    std::uint64_t data;  ///< ZipEntry::data, which no two entries share
    Bytes bytes;
  };
  bool zero_crc_passes_;
  std::uint64_t capacity_;
  mutable std::mutex mutex_;
  std::list<Held> held_;  ///< last used first
};

/// One entry as a source: read in place when it is stored, through `inflated` when it is deflated. Stored bytes are not checked
/// against their CRC-32, which would take reading all of them.
class ZipEntrySource : public ByteSource {
 public:
  /// `archive` must outlive it.
  ZipEntrySource(const ByteSource& archive, ZipEntry entry, std::shared_ptr<InflatedEntries> inflated);

  const std::string& name() const override { return name_; }
  std::uint64_t size() const override { return entry_.bytes; }

 protected:
  void read_inside(std::uint64_t offset, std::span<std::byte> bytes, const RunContext& context) const override;

 private:
  const ByteSource& archive_;
  ZipEntry entry_;
  std::string name_;
  std::shared_ptr<InflatedEntries> inflated_;
};

/// What an error about an entry begins with.
std::string name_of_entry(const ByteSource& archive, const ZipEntry& entry);

}  // namespace convbasis
