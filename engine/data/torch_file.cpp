#include "core/errors.h"
#include "data/pickle.h"
#include "data/untrusted.h"
#include "data/zip_formats.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>
#include <optional>
#include <unordered_map>
#include <unordered_set>

namespace convbasis {
namespace {

constexpr std::string_view pickle_ending = "/data.pkl";
constexpr std::uint64_t longest_pickle = std::uint64_t{32} << 20U;
constexpr std::size_t most_visits = 2'000'000;
constexpr int deepest_nesting = 100;
/// PyTorch's writer can leave out checksums, and then writes 0.
constexpr bool zero_crc_passes = true;

/// Turns one archive into tensors; keeps what every step needs.
class TorchReader {
 public:
  TorchReader(const FileReader& file, const std::vector<ZipEntry>& entries) : file_(file) {
    for (const ZipEntry& entry : entries) entries_.emplace(entry.name, &entry);
  }

  TensorIndex read() {
    const ZipEntry& entry = find_pickle();
    folder_ = entry.name.substr(0, entry.name.size() - pickle_ending.size());
    read_byte_order();
    name_ = name_of_entry(file_, entry);
    const std::vector<std::byte> bytes = whole_entry(file_, entry, longest_pickle, zero_crc_passes, name_);
    pickle_ = read_pickle({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, name_);
    index_.format = "pytorch";
    visit(pickle_.root, "", 0);
    read_metadata();
    return std::move(index_);
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const { throw FileError(name_, problem); }

  const ZipEntry& find_pickle() const {
    const ZipEntry* found = nullptr;
    for (const auto& [name, entry] : entries_) {
      if (!name.ends_with(pickle_ending) || name.find('/') != name.size() - pickle_ending.size()) continue;
      if (found != nullptr) {
        throw FileError(file_.name(),
                        fmt::format("has two pickles, {} and {}; expected one", in_quotes(found->name), in_quotes(name)));
      }
      found = entry;
    }
    if (found == nullptr) throw FileError(file_.name(), "has no pickle; expected an archive of torch.save");
    return *found;
  }

  void read_byte_order() {
    const auto found = entries_.find(folder_ + "/byteorder");
    if (found == entries_.end()) return;  // PyTorch before 2.1, always little-endian
    const std::string name = name_of_entry(file_, *found->second);
    const std::vector<std::byte> bytes = whole_entry(file_, *found->second, 64, zero_crc_passes, name);
    const std::string_view order(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (order != "little" && order != "big") {
      throw FileError(name, fmt::format("says {}; expected \"little\" or \"big\"", in_quotes(order)));
    }
    big_endian_ = order == "big";
  }

  /// A value may be reached on many ways, and a small pickle can have more ways than there are atoms: visits are counted.
  void visit(std::uint32_t id, const std::string& path, int depth) {
    if (++visits_ > most_visits) fail(fmt::format("has more than {} values when shared ones are counted each time", most_visits));
    if (depth > deepest_nesting) {
      fail(fmt::format("nests dicts and lists more than {} deep, or one holds itself", deepest_nesting));
    }
    const PickledValue& value = pickle_.values[id];
    const auto child = [&](const std::string& key) { return path.empty() ? key : path + "." + key; };
    switch (value.kind) {
      case PickledKind::tensor:
        return add_tensor(pickle_.tensors[static_cast<std::size_t>(value.integer)],
                          path.empty() ? file_.path().stem().string() : path);
      case PickledKind::tuple:
      case PickledKind::list:
        for (std::size_t i = 0; i < value.items.size(); ++i) visit(value.items[i], child(fmt::format("{}", i)), depth + 1);
        return;
      case PickledKind::dict:
        for (std::size_t i = 0; i < value.items.size(); i += 2) visit(value.items[i + 1], child(key(value.items[i])), depth + 1);
        return;
      default:
        return;  // numbers and texts are no tensors
    }
  }

  std::string key(std::uint32_t id) const {
    const PickledValue& value = pickle_.values[id];
    if (value.kind == PickledKind::integer) return fmt::format("{}", value.integer);
    if (value.kind != PickledKind::text) {
      fail(fmt::format("has a dict with a {} as key; expected texts and whole numbers", name_of(value.kind)));
    }
    if (value.text.size() > longest_name) {
      fail(fmt::format("has a dict with a key of {} characters; at most {} are read", value.text.size(), longest_name));
    }
    return value.text;
  }

  void add_tensor(const PickledTensor& pickled, std::string name) {
    if (name.size() > longest_name)
      fail(fmt::format("a tensor's name has {} characters; at most {} are read", name.size(), longest_name));
    if (!names_.insert(name).second) fail(fmt::format("has two tensors {}", in_quotes(name)));
    if (index_.tensors.size() >= most_tensors) fail(fmt::format("has more than {} tensors", most_tensors));
    TensorInfo tensor;
    tensor.name = std::move(name);
    const PickledStorage& storage = pickle_.storages[pickled.storage];
    tensor.dtype = storage.dtype;
    tensor.big_endian = big_endian_;
    tensor.shape.assign(pickled.shape.begin(), pickled.shape.end());
    tensor.source = source_of(storage);
    place(pickled, storage, tensor);
    index_.tensors.push_back(std::move(tensor));
  }

  /// The archive's entry for a storage, opened once for all tensors that share it.
  std::size_t source_of(const PickledStorage& storage) {
    const std::string entry_name = folder_ + "/data/" + storage.key;
    const auto found = entries_.find(entry_name);
    if (found == entries_.end())
      fail(fmt::format("names a storage {}, but the archive has no such entry", in_quotes(entry_name)));
    const ZipEntry& entry = *found->second;
    const auto bytes =
        checked_product(static_cast<std::uint64_t>(std::max<std::int64_t>(storage.count, 0)), bytes_of(storage.dtype));
    if (storage.count < 0 || !bytes || *bytes != entry.bytes) {
      fail(fmt::format("says that storage {} holds {} elements of {}, but the entry has {} bytes", in_quotes(entry_name),
                       storage.count, name_of(storage.dtype), entry.bytes));
    }
    const auto [opened, is_new] = sources_.try_emplace(entry_name, index_.sources.size() + 1);
    if (is_new) index_.sources.push_back(std::make_unique<const ZipEntrySource>(file_, entry, inflated_));
    return opened->second;
  }

  /// Checks that the tensor's elements lie in its storage, each at a place of its own, and sets where.
  void place(const PickledTensor& pickled, const PickledStorage& storage, TensorInfo& tensor) const {
    const auto not_negative = [](std::int64_t number) { return number >= 0; };
    if (pickled.offset < 0 || !std::all_of(pickled.shape.begin(), pickled.shape.end(), not_negative) ||
        !std::all_of(pickled.strides.begin(), pickled.strides.end(), not_negative)) {
      fail(fmt::format("tensor {} has an offset, length or stride below 0", in_quotes(tensor.name)));
    }
    const auto bytes = checked_bytes(tensor.shape, bytes_of(tensor.dtype));
    if (!bytes) fail(fmt::format("tensor {} has shape {}, which is too large", in_quotes(tensor.name), shape_text(tensor.shape)));
    tensor.bytes = *bytes;
    if (*bytes == 0) return;  // no element needs a place
    tensor.payload_strides.assign(pickled.strides.begin(), pickled.strides.end());
    const std::optional<std::uint64_t> last = last_element(pickled);
    if (!last || *last >= static_cast<std::uint64_t>(storage.count)) {
      fail(fmt::format("tensor {} {} with strides {} from element {} on leaves its storage of {} elements",
                       in_quotes(tensor.name), shape_text(tensor.shape), shape_text(tensor.payload_strides), pickled.offset,
                       storage.count));
    }
    require_no_sharing(tensor);
    tensor.offset = static_cast<std::uint64_t>(pickled.offset) * bytes_of(tensor.dtype);
  }

  static std::optional<std::uint64_t> last_element(const PickledTensor& tensor) {
    std::optional<std::uint64_t> last = static_cast<std::uint64_t>(tensor.offset);
    for (std::size_t axis = 0; axis < tensor.shape.size(); ++axis) {
      const auto step =
          checked_product(static_cast<std::uint64_t>(tensor.shape[axis] - 1), static_cast<std::uint64_t>(tensor.strides[axis]));
      if (!step) return std::nullopt;
      last = checked_sum(*last, *step);
      if (!last) return std::nullopt;
    }
    return last;
  }

  /// Each axis must step over all that the axes with smaller steps span. Views with shared elements (expand, unfold) could
  /// claim terabytes from a few bytes, so they are not read.
  void require_no_sharing(const TensorInfo& tensor) const {
    std::vector<std::pair<Index, Index>> axes;  // stride and length
    for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
      if (tensor.shape[i] > 1) axes.emplace_back(tensor.payload_strides[i], tensor.shape[i]);
    }
    std::sort(axes.begin(), axes.end());
    Index spanned = 0;  // the sums fit: all of it lies in the storage
    for (const auto& [stride, length] : axes) {
      if (stride <= spanned) {
        fail(fmt::format("tensor {} {} has strides {}, so that several elements share memory; save tensor.contiguous()",
                         in_quotes(tensor.name), shape_text(tensor.shape), shape_text(tensor.payload_strides)));
      }
      spanned += (length - 1) * stride;
    }
  }

  /// The scale, the model's name and the list of tokens are plain values beside the tensors.
  void read_metadata() {
    const PickledValue& root = pickle_.values[pickle_.root];
    if (root.kind != PickledKind::dict) return;
    for (std::size_t i = 0; i < root.items.size(); i += 2) {
      const std::optional<std::string> text = metadata_text(pickle_.values[root.items[i + 1]]);
      if (text) index_.metadata.insert_or_assign(key(root.items[i]), *text);
    }
  }

  std::optional<std::string> metadata_text(const PickledValue& value) const {
    if (value.kind == PickledKind::text) return value.text;
    if (value.kind == PickledKind::integer) return fmt::format("{}", value.integer);
    if (value.kind == PickledKind::real) return fmt::format("{}", value.real);
    if (value.kind != PickledKind::list) return std::nullopt;
    nlohmann::json list = nlohmann::json::array();
    for (const std::uint32_t item : value.items) {
      if (pickle_.values[item].kind != PickledKind::text) return std::nullopt;
      list.push_back(pickle_.values[item].text);
    }
    return list.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }

  static constexpr std::size_t longest_name = 4096;
  static constexpr std::size_t most_tensors = 100'000;

  const FileReader& file_;
  std::unordered_map<std::string, const ZipEntry*> entries_;
  std::string folder_;  ///< the one at the top of the archive
  std::string name_;    ///< of the pickle, for errors
  bool big_endian_ = false;
  Pickle pickle_;
  std::size_t visits_ = 0;
  std::unordered_set<std::string> names_;
  std::unordered_map<std::string, std::size_t> sources_;
  std::shared_ptr<InflatedEntries> inflated_ = std::make_shared<InflatedEntries>(zero_crc_passes);
  TensorIndex index_;
};

}  // namespace

bool looks_like_torch(const std::vector<ZipEntry>& entries) {
  return std::any_of(entries.begin(), entries.end(), [](const ZipEntry& entry) {
    return entry.name.ends_with(pickle_ending) && entry.name.find('/') == entry.name.size() - pickle_ending.size();
  });
}

TensorIndex read_torch(const FileReader& file, const std::vector<ZipEntry>& entries) { return TorchReader(file, entries).read(); }

}  // namespace convbasis
