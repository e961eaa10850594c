/// \file
/// Who is query, key and value: finds attention heads among the tensors of one or several files, with grouped-query
/// attention, and loads one head. Product page, "Files it opens".
#pragma once

#include "attention/head.h"
#include "data/tensor_file.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace convbasis {

/// What the user settles where the reader cannot guess (--q, --k-tensor, --v, --layout, --scale).
struct ActivationHints {
  /// All three or none. "{L}" in a name stands for the layer number; without it one layer is found.
  std::optional<std::string> query_name, key_name, value_name;
  /// "hnd", "1hnd", "nhd", "1nhd", "lhnd", "nd", "n(hd)", "1n(hd)": one character an axis, 1 is a batch of one, l layers, h
  /// heads, n tokens, d width, (hd) all heads in one axis.
  std::optional<std::string> layout;
  std::optional<Index> heads;  ///< query heads; needed by the layouts with "(hd)"
};

/// One layer that has Q, K and V.
struct LayerInfo {
  Index layer = 0;                ///< the model's layer number
  Index heads = 0;                ///< query heads
  Index kv_heads = 0;             ///< key/value heads; query head h reads floor(h * kv_heads / heads)
  Index size = 0;                 ///< n, tokens
  Index width = 0;                ///< d
  Index value_width = 0;          ///< d_v
  std::string query, key, value;  ///< tensor names
  std::string layout;             ///< how the shapes were read, as in ActivationHints
  std::string reason;             ///< one sentence: why these tensors were taken so
};

/// The attention heads of a model's activations. Immutable; load() may be called from several threads.
class Activations {
 public:
  /// Opens all files together. Throws FileError (with the reason and what would be right) when no head is found, or
  /// when Q, K, V do not fit each other.
  static Activations open(const std::vector<std::filesystem::path>& paths, const ActivationHints& hints = {});

  const std::vector<LayerInfo>& layers() const;
  /// Throws InvalidArgument, listing what exists, when there is no such layer.
  const LayerInfo& layer(Index layer) const;
  const std::vector<std::unique_ptr<TensorFile>>& files() const;
  std::string display_name() const;     ///< file name(s) for people
  std::string model() const;            ///< metadata "model", or empty
  std::optional<double> scale() const;  ///< metadata "scale"
  const std::vector<std::string>& tokens()
      const;  ///< metadata "tokens" (a JSON list); empty, or one for each token of every layer
  Index kv_head(Index layer, Index head) const;

  /// The first n tokens of a head (n = 0: all), converted. The scale is metadata's, else 1/sqrt(d).
  /// Throws InvalidArgument when layer, head or n do not exist; FileError for NaN or Inf in the data (names tensor, head, row,
  /// column).
  template <Real T>
  HeadTensors<T> load(Index layer, Index head, Index n = 0) const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace convbasis
