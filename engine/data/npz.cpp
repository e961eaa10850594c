#include "core/errors.h"
#include "data/formats.h"
#include "data/untrusted.h"
#include "data/zip_formats.h"

#include <fmt/format.h>

#include <algorithm>

namespace convbasis {
namespace {

/// More than the longest npy header that is read.
constexpr std::size_t header_room = 10'100;

/// The beginning of an entry, for reading its header without inflating the rest.
class EntryStart : public ByteSource {
 public:
  EntryStart(const ByteSource& archive, const ZipEntry& entry)
      : name_(name_of_entry(archive, entry)), size_(entry.bytes), start_(first_bytes(archive, entry, header_room, name_)) {}

  const std::string& name() const override { return name_; }
  std::uint64_t size() const override { return size_; }

 protected:
  void read_inside(std::uint64_t offset, std::span<std::byte> bytes, const RunContext&) const override {
    if (offset + bytes.size() > start_.size()) throw FileError(name_, "is cut off inside its npy header");
    std::copy_n(start_.begin() + static_cast<std::ptrdiff_t>(offset), bytes.size(), bytes.begin());
  }

 private:
  std::string name_;
  std::uint64_t size_;
  std::vector<std::byte> start_;
};

}  // namespace

TensorIndex read_npz(const FileReader& file, const std::vector<ZipEntry>& entries) {
  constexpr std::string_view ending = ".npy";
  TensorIndex index;
  index.format = "npz";
  const auto inflated = std::make_shared<InflatedEntries>(false);
  for (const ZipEntry& entry : entries) {
    const EntryStart start(file, entry);
    if (!entry.name.ends_with(ending) || entry.bytes < 6 || !looks_like_npy(read_text(start, 0, 6))) {
      throw FileError(start.name(), "is no npy array; expected an archive of numpy.savez or of torch.save");
    }
    const std::string name = entry.name.substr(0, entry.name.size() - ending.size());
    try {
      index.tensors.push_back(read_npy_header(start, name));
    } catch (const UnreadDType& reason) {
      index.skipped.push_back({name, reason.problem()});
      continue;
    }
    index.sources.push_back(std::make_unique<const ZipEntrySource>(file, entry, inflated));
    index.tensors.back().source = index.sources.size();
  }
  return index;
}

}  // namespace convbasis
