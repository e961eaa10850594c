/// \file
/// For tests: the bytes of zip archives and of pickles, right or wrong, built by hand from the formats' descriptions.
#pragma once

#include "support/tensor_bytes.h"

#include <zlib.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace convbasis::test {

/// Raw deflate, as zip entries have it.
inline std::string deflated(const std::string& bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY) != Z_OK) throw std::runtime_error("deflateInit2");
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

/// One entry of an archive. What is not set is what a well-formed archive has.
struct ZipBytes {
  std::string name;
  std::string data;
  bool deflate = false;
  bool zip64_local = false;    ///< sizes in the local header are markers and stand in its extra field, as numpy writes them
  bool zip64_central = false;  ///< the same in the directory
  std::size_t padding = 0;     ///< bytes of a local extra field, as PyTorch aligns data
  std::uint64_t flags = 0;
  std::optional<std::uint64_t> method, crc, bytes, stored_bytes, local, disk;
  std::optional<std::string> local_name, extra, stored;
};

/// The end of an archive. What is not set is what a well-formed archive has.
struct ZipEnd {
  bool zip64 = false;
  std::string comment;
  std::optional<std::uint64_t> entries, entries_here, disk, directory_bytes, directory, comment_bytes, end64;
};

inline std::string zip_local(const ZipBytes& entry, const std::string& stored, std::uint64_t crc) {
  const std::string name = entry.local_name.value_or(entry.name);
  std::string extra;
  if (entry.zip64_local)
    extra += little_endian(1, 2) + little_endian(16, 2) + little_endian(entry.data.size(), 8) + little_endian(stored.size(), 8);
  if (entry.padding > 0) extra += little_endian(0x4246, 2) + little_endian(entry.padding, 2) + std::string(entry.padding, 'Z');
  const auto size = [&](std::uint64_t bytes) { return little_endian(entry.zip64_local ? 0xFFFFFFFF : bytes, 4); };
  return std::string("PK\x03\x04") + little_endian(20, 2) + little_endian(entry.flags, 2) +
         little_endian(entry.deflate ? 8 : 0, 2) + little_endian(0, 4) + little_endian(crc, 4) + size(stored.size()) +
         size(entry.data.size()) + little_endian(name.size(), 2) + little_endian(extra.size(), 2) + name + extra + stored;
}

inline std::string zip_central(const ZipBytes& entry, const std::string& stored, std::uint64_t crc, std::uint64_t place) {
  const std::uint64_t bytes = entry.bytes.value_or(entry.data.size());
  const std::uint64_t stored_bytes = entry.stored_bytes.value_or(stored.size());
  const std::uint64_t local = entry.local.value_or(place);
  std::string extra = entry.extra.value_or("");
  if (entry.zip64_central) {
    extra += little_endian(1, 2) + little_endian(24, 2) + little_endian(bytes, 8) + little_endian(stored_bytes, 8) +
             little_endian(local, 8);
  }
  const auto size = [&](std::uint64_t number) { return little_endian(entry.zip64_central ? 0xFFFFFFFF : number, 4); };
  return std::string("PK\x01\x02") + little_endian(20, 2) + little_endian(20, 2) + little_endian(entry.flags, 2) +
         little_endian(entry.method.value_or(entry.deflate ? 8 : 0), 2) + little_endian(0, 4) +
         little_endian(entry.crc.value_or(crc), 4) + size(stored_bytes) + size(bytes) + little_endian(entry.name.size(), 2) +
         little_endian(extra.size(), 2) + little_endian(0, 2) + little_endian(entry.disk.value_or(0), 2) + little_endian(0, 6) +
         size(local) + entry.name + extra;
}

/// A zip archive.
inline std::string zip_bytes(const std::vector<ZipBytes>& entries, const ZipEnd& end = {}) {
  std::string bytes;
  std::string directory;
  for (const ZipBytes& entry : entries) {
    const std::string stored = entry.stored.value_or(entry.deflate ? deflated(entry.data) : entry.data);
    const std::uint64_t crc = crc32_z(0, reinterpret_cast<const Bytef*>(entry.data.data()), entry.data.size());
    directory += zip_central(entry, stored, crc, bytes.size());
    bytes += zip_local(entry, stored, crc);
  }
  const std::uint64_t place = end.directory.value_or(bytes.size());
  const std::uint64_t length = end.directory_bytes.value_or(directory.size());
  const std::uint64_t count = end.entries.value_or(entries.size());
  const std::uint64_t here = end.entries_here.value_or(count);
  const std::uint64_t disk = end.disk.value_or(0);
  bytes += directory;
  if (end.zip64) {
    const std::uint64_t end64 = end.end64.value_or(bytes.size());
    bytes += "PK\x06\x06" + little_endian(44, 8) + little_endian(45, 2) + little_endian(45, 2) + little_endian(disk, 4) +
             little_endian(disk, 4) + little_endian(here, 8) + little_endian(count, 8) + little_endian(length, 8) +
             little_endian(place, 8);
    bytes += "PK\x06\x07" + little_endian(0, 4) + little_endian(end64, 8) + little_endian(1, 4);
    return bytes + "PK\x05\x06" + std::string(16, '\xFF') + little_endian(0, 2);
  }
  return bytes + "PK\x05\x06" + little_endian(disk, 2) + little_endian(disk, 2) + little_endian(here, 2) +
         little_endian(count, 2) + little_endian(length, 4) + little_endian(place, 4) +
         little_endian(end.comment_bytes.value_or(end.comment.size()), 2) + end.comment;
}

/// Instructions of pickle, one function each; a pickle is their concatenation.
namespace pickle {

inline std::string text(const std::string& value) { return std::string("X") + little_endian(value.size(), 4) + value; }
inline std::string integer(std::int64_t value) {
  return value >= INT32_MIN && value <= INT32_MAX ? std::string("J") + little_endian(static_cast<std::uint64_t>(value), 4)
                                                  : std::string("\x8a\x08") + little_endian(static_cast<std::uint64_t>(value), 8);
}
inline std::string tuple(const std::vector<std::string>& items) {
  std::string bytes = "(";
  for (const std::string& item : items) bytes += item;
  return bytes + "t";
}
inline std::string list(const std::vector<std::string>& items) {
  std::string bytes = "](";
  for (const std::string& item : items) bytes += item;
  return bytes + "e";
}
/// Keys and values in turn.
inline std::string dict(const std::vector<std::string>& items) {
  std::string bytes = "}(";
  for (const std::string& item : items) bytes += item;
  return bytes + "u";
}
inline std::string global(const std::string& module, const std::string& name) {
  return std::string("c") + module + "\n" + name + "\n";
}
inline std::string ordered_dict() { return global("collections", "OrderedDict") + ")R"; }
inline std::string numbers(const std::vector<std::int64_t>& values) {
  std::vector<std::string> items;
  for (const std::int64_t value : values) items.push_back(integer(value));
  return tuple(items);
}
inline std::string storage(const std::string& type, const std::string& key, std::int64_t count,
                           const std::string& device = "cpu") {
  return tuple({text("storage"), global("torch", type), text(key), text(device), integer(count)}) + "Q";
}
inline std::string tensor(const std::string& storage, std::int64_t offset, const std::vector<std::int64_t>& shape,
                          const std::vector<std::int64_t>& strides) {
  return global("torch._utils", "_rebuild_tensor_v2") +
         tuple({storage, integer(offset), numbers(shape), numbers(strides), "\x89", ordered_dict()}) + "R";
}
inline std::string whole(const std::string& value) { return "\x80\x02" + value + "."; }

}  // namespace pickle

/// A PyTorch file from the value its pickle builds and its storages.
inline std::string torch_bytes(const std::string& value, const std::vector<std::pair<std::string, std::string>>& storages,
                               const std::string& byte_order = "little") {
  std::vector<ZipBytes> entries;
  const auto add = [&](const std::string& name, const std::string& data, std::size_t padding) {
    entries.emplace_back();
    entries.back().name = "archive/" + name;
    entries.back().data = data;
    entries.back().padding = padding;
  };
  add("data.pkl", pickle::whole(value), 0);
  add("byteorder", byte_order, 3);
  for (const auto& [key, data] : storages) add("data/" + key, data, 17);
  add("version", "3\n", 0);
  return zip_bytes(entries);
}

}  // namespace convbasis::test
