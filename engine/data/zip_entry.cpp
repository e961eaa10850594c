#include "core/errors.h"
#include "data/zip.h"

#include <fmt/format.h>

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace convbasis {
namespace {

constexpr std::size_t chunk_bytes = std::size_t{1} << 16U;

/// Inflates one entry from its beginning. zlib gets no more input than the entry has and no more room than is asked for.
class Inflater {
 public:
  Inflater(const ByteSource& archive, const ZipEntry& entry, const std::string& name)
      : archive_(archive), entry_(entry), name_(name) {
    if (inflateInit2(&stream_, -MAX_WBITS) != Z_OK) throw std::bad_alloc();  // raw deflate, without zlib's own header
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  /// Fills `out`; throws FileError when the data are damaged or end before.
  void read(std::span<std::byte> out, const RunContext& context) {
    for (std::size_t done = 0; done < out.size();) {
      context.check();
      const std::size_t room = std::min<std::size_t>(out.size() - done, chunk_bytes * 16);
      const std::size_t got = step(out.subspan(done, room));
      if (got == 0 && (ended_ || no_more_input())) {
        throw FileError(name_, fmt::format("inflates to {} bytes, but the archive says {}", done, entry_.bytes));
      }
      done += got;
    }
  }

  /// After all bytes were read: whether the data end there too.
  bool at_end() {
    std::array<std::byte, 1> none_left{};
    while (!ended_ && !no_more_input()) {
      if (step(none_left) != 0) return false;
    }
    return ended_ && no_more_input();
  }

 private:
  bool no_more_input() const { return stream_.avail_in == 0 && taken_ == entry_.stored_bytes; }

  std::size_t step(std::span<std::byte> out) {
    if (stream_.avail_in == 0 && taken_ < entry_.stored_bytes) {
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(chunk_bytes, entry_.stored_bytes - taken_));
      input_.resize(count);
      archive_.read(entry_.data + taken_, input_);
      taken_ += count;
      stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
      stream_.avail_in = static_cast<uInt>(count);
    }
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    const int result = inflate(&stream_, Z_NO_FLUSH);
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    ended_ = result == Z_STREAM_END;
    // Z_BUF_ERROR only says that there was nothing to do: the next input, or the end, decides.
    if (!ended_ && result != Z_OK && result != Z_BUF_ERROR) throw FileError(name_, "its compressed data are damaged");
    return out.size() - stream_.avail_out;
  }

  const ByteSource& archive_;
  const ZipEntry& entry_;
  const std::string& name_;
  z_stream stream_{};
  std::vector<std::byte> input_;
  std::uint64_t taken_ = 0;  ///< compressed bytes handed to zlib
  bool ended_ = false;
};

std::uint32_t crc_of(std::span<const std::byte> bytes) {
  return static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace

std::vector<std::byte> first_bytes(const ByteSource& archive, const ZipEntry& entry, std::size_t count, const std::string& name) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(std::min<std::uint64_t>(count, entry.bytes)));
  if (entry.deflated) {
    Inflater(archive, entry, name).read(bytes, {});
  } else {
    archive.read(entry.data, bytes);
  }
  return bytes;
}

std::vector<std::byte> whole_entry(const ByteSource& archive, const ZipEntry& entry, std::uint64_t most_bytes,
                                   bool zero_crc_passes, const std::string& name, const RunContext& context) {
  if (entry.bytes > most_bytes) {
    throw FileError(name, fmt::format("takes {} bytes; at most {} are read at once", entry.bytes, most_bytes));
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(entry.bytes));
  if (entry.deflated) {
    Inflater inflater(archive, entry, name);
    inflater.read(bytes, context);
    if (!inflater.at_end())
      throw FileError(name, fmt::format("inflates to more than the {} bytes the archive says", entry.bytes));
  } else {
    archive.read(entry.data, bytes, context);
  }
  const std::uint32_t crc = crc_of(bytes);
  if (crc != entry.crc && !(zero_crc_passes && entry.crc == 0)) {
    throw FileError(name, fmt::format("is damaged: its CRC-32 is {:08x}, but the archive says {:08x}", crc, entry.crc));
  }
  return bytes;
}

InflatedEntries::Bytes InflatedEntries::get(const ByteSource& archive, const ZipEntry& entry, const std::string& name,
                                            const RunContext& context) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(held_.begin(), held_.end(), [&](const Held& held) { return held.data == entry.data; });
  if (found != held_.end()) {
    held_.splice(held_.begin(), held_, found);
    return held_.front().bytes;
  }
  if (entry.bytes > capacity_) {
    throw FileError(name, fmt::format("is compressed and takes {} bytes, which have to be inflated at once; at most {} are. Save "
                                      "it uncompressed, with numpy.savez, or as an npy file",
                                      entry.bytes, capacity_));
  }
  std::uint64_t total = entry.bytes;
  for (const Held& held : held_) total += held.bytes->size();
  for (; total > capacity_; held_.pop_back()) total -= held_.back().bytes->size();
  auto bytes =
      std::make_shared<const std::vector<std::byte>>(whole_entry(archive, entry, capacity_, zero_crc_passes_, name, context));
  held_.push_front({entry.data, bytes});
  return bytes;
}

std::uint64_t InflatedEntries::held_bytes() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t total = 0;
  for (const Held& held : held_) total += held.bytes->size();
  return total;
}

ZipEntrySource::ZipEntrySource(const ByteSource& archive, ZipEntry entry, std::shared_ptr<InflatedEntries> inflated)
    : archive_(archive), entry_(std::move(entry)), name_(name_of_entry(archive, entry_)), inflated_(std::move(inflated)) {}

void ZipEntrySource::read_inside(std::uint64_t offset, std::span<std::byte> bytes, const RunContext& context) const {
  if (!entry_.deflated) return archive_.read(entry_.data + offset, bytes, context);
  const InflatedEntries::Bytes all = inflated_->get(archive_, entry_, name_, context);
  std::memcpy(bytes.data(), all->data() + offset, bytes.size());
}

}  // namespace convbasis
