#include "core/errors.h"
#include "data/formats.h"
#include "data/untrusted.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <unordered_set>

namespace convbasis {
namespace {

constexpr std::uint64_t longest_index = std::uint64_t{16} << 20U;
constexpr std::size_t most_shards = 1000;

/// Tensor name -> name of its file.
using WeightMap = std::map<std::string, std::string>;

/// The index as JSON; a document would silently keep one of two equal names.
nlohmann::json parse(const FileReader& file, const std::string& text) {
  std::unordered_set<std::string> names;
  bool in_map = false;
  const auto see = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    if (event != nlohmann::json::parse_event_t::key) return true;
    const auto& key = parsed.get_ref<const std::string&>();
    if (depth == 1) in_map = key == "weight_map";
    if (depth == 1 || (depth == 2 && in_map)) {
      if (!names.insert((depth == 1 ? "" : "tensor ") + key).second) {
        throw FileError(file.name(), fmt::format("its index has two entries {}", in_quotes(key)));
      }
    }
    return true;
  };
  return nlohmann::json::parse(text, see, false);
}

WeightMap read_weight_map(const FileReader& file) {
  if (file.size() > longest_index) {
    throw FileError(file.name(),
                    fmt::format("is a JSON text of {} bytes; an index of at most {} is read", file.size(), longest_index));
  }
  const nlohmann::json index = parse(file, read_text(file, 0, file.size()));
  if (index.is_discarded()) throw FileError(file.name(), "is no valid JSON; expected the index of a safetensors model");
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    throw FileError(file.name(), "is JSON without \"weight_map\"; expected the index of a safetensors model");
  }
  WeightMap map;
  for (const auto& [tensor, shard] : index["weight_map"].items()) {
    if (!shard.is_string()) {
      throw FileError(file.name(), fmt::format("its weight_map names no file for tensor {}", in_quotes(tensor)));
    }
    map.emplace(tensor, shard.get<std::string>());
  }
  return map;
}

/// An index from somewhere must not make us open a file elsewhere.
void require_below(const FileReader& file, const std::string& shard) {
  const std::filesystem::path path(shard);
  const bool climbs = std::any_of(path.begin(), path.end(), [](const auto& part) { return part == ".."; });
  if (shard.empty() || shard.find('\0') != std::string::npos || path.is_absolute() || path.has_root_path() || climbs) {
    throw FileError(file.name(),
                    fmt::format("its weight_map names the file {}; expected one in the folder of the index", in_quotes(shard)));
  }
}

/// What one shard holds must be what the index says of it. `listed` are the tensors that the index places there, sorted.
void require_agreement(const FileReader& file, const std::vector<std::string>& listed, const std::string& shard,
                       const TensorIndex& held) {
  std::unordered_set<std::string_view> names;
  for (const TensorInfo& tensor : held.tensors) {
    names.insert(tensor.name);
    if (std::binary_search(listed.begin(), listed.end(), tensor.name)) continue;
    throw FileError(file.name(), fmt::format("file {} holds tensor {}, which the index does not place there", in_quotes(shard),
                                             in_quotes(tensor.name)));
  }
  for (const std::string& tensor : listed) {
    if (names.contains(tensor)) continue;
    throw FileError(file.name(),
                    fmt::format("places tensor {} in file {}, which does not hold it", in_quotes(tensor), in_quotes(shard)));
  }
}

}  // namespace

bool looks_like_shard_index(std::string_view first_bytes) {
  // A safetensors file may begin with '{' too, as the lowest byte of a length; that has zeros above.
  return first_bytes.starts_with('{') && first_bytes.substr(0, 8).find('\0') == std::string_view::npos;
}

TensorIndex read_shards(const FileReader& file) {
  const WeightMap map = read_weight_map(file);
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [tensor, shard] : map) shards[shard].push_back(tensor);
  if (shards.size() > most_shards) {
    throw FileError(file.name(), fmt::format("its index names {} files; at most {} are read", shards.size(), most_shards));
  }
  TensorIndex all;
  all.format = "safetensors shards";
  for (const auto& [shard, tensors] : shards) {
    require_below(file, shard);
    auto reader = std::make_unique<const FileReader>(file.path().parent_path() / shard);
    if (!looks_like_safetensors(read_text(*reader, 0, std::min<std::uint64_t>(reader->size(), 16)))) {
      throw FileError(reader->name(), fmt::format("is no safetensors file, but {} names it", file.name()));
    }
    TensorIndex held = read_safetensors_header(*reader);
    require_agreement(file, tensors, shard, held);
    all.sources.push_back(std::move(reader));
    for (TensorInfo& tensor : held.tensors) {
      tensor.source = all.sources.size();
      all.tensors.push_back(std::move(tensor));
    }
    all.metadata.merge(held.metadata);
  }
  return all;
}

}  // namespace convbasis
