/// \file
/// Who is query, key and value: finds attention heads among the tensors of one or several files, with grouped-query
/// attention, position bias and sliding windows, or given as attention matrices, and loads one head. Product page, "Files it
/// opens".
#pragma once

#include "attention/head.h"
#include "core/run_context.h"
#include "data/attention_matrices.h"
#include "data/tensor_file.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace convbasis {

/// What the user settles where the reader cannot guess (--q, --k-tensor, --v, --layout, --heads, --attention, --attention-kind).
struct ActivationHints {
  /// All three or none; beside attention_name, value_name may stand alone. "{L}" in a name stands for the layer number; without
  /// it one layer is found.
  std::optional<std::string> query_name, key_name, value_name;
  /// "hnd", "1hnd", "nhd", "1nhd", "lhnd", "nd", "n(hd)", "1n(hd)": one character an axis, 1 is a batch of one, l layers, h
  /// heads, n tokens, d width, (hd) all heads in one axis.
  std::optional<std::string> layout;
  std::optional<Index> heads;                 ///< query heads; needed by the layouts with "(hd)"
  std::optional<std::string> attention_name;  ///< attention matrices are meant, even beside queries and keys
  std::optional<AttentionKind> attention_kind;
};

/// Where the numbers of a layer's heads come from.
enum class HeadKind { query_key, attention };

/// One layer that has heads.
struct LayerInfo {
  Index layer = 0;                ///< the model's layer number
  Index heads = 0;                ///< query heads
  Index kv_heads = 0;             ///< key/value heads; query head h reads floor(h * kv_heads / heads)
  Index size = 0;                 ///< n, tokens
  Index width = 0;                ///< d; 0 for attention matrices
  Index value_width = 0;          ///< d_v
  std::string query, key, value;  ///< tensor names; empty where there is no such tensor
  std::string layout;             ///< how the shapes were read, as in ActivationHints; "nn", "hnn", "1hnn", "lhnn" for matrices
  std::string reason;             ///< one sentence: why these tensors were taken so
  double scale = 0.0;             ///< of the scores: metadata's, else 1/sqrt(d); 1 for attention matrices
  HeadKind kind = HeadKind::query_key;
  std::string attention = {};  ///< name of the tensor of attention matrices, for that kind
  AttentionKind attention_kind = AttentionKind::scores;
  /// There is no value tensor: value is n x 64 random signs V, for which E ||M V||^2 = 64 ||M||^2 for any matrix M, so that the
  /// relative output error estimates the relative Frobenius error of the attention matrix itself.
  bool values_are_probes = false;
  std::string bias = {};                       ///< name of the tensor of position bias by lag, or empty
  std::optional<Index> window = std::nullopt;  ///< lags from here on are masked (sliding-window attention)
};

/// The attention heads of a model's activations. Immutable; load() may be called from several threads.
class Activations {
 public:
  /// Opens all files together. Throws FileError (with the reason and what would be right) when no head is found, or
  /// when Q, K, V do not fit each other; Cancelled. Reads headers, and a few rows of attention matrices.
  static Activations open(const std::vector<std::filesystem::path>& paths, const ActivationHints& hints = {},
                          const RunContext& context = {});

  const std::vector<LayerInfo>& layers() const;
  /// Throws InvalidArgument, listing what exists, when there is no such layer.
  const LayerInfo& layer(Index layer) const;
  const std::vector<std::unique_ptr<TensorFile>>& files() const;
  std::string display_name() const;     ///< file name(s) for people
  std::string model() const;            ///< metadata "model", or empty
  std::optional<double> scale() const;  ///< metadata "scale", where it is one number for all layers
  const std::vector<std::string>& tokens()
      const;  ///< metadata "tokens" (a JSON list); empty, or one for each token of every layer
  Index kv_head(Index layer, Index head) const;

  /// The first n tokens of a head (n = 0: all), converted; position bias and window are in `bias`, attention matrices are
  /// read from the file on demand through `matrix`, which keeps it open.
  /// Throws InvalidArgument when layer, head or n do not exist; FileError for NaN or Inf in the data (names tensor, head, row,
  /// column; minus infinity is allowed in the bias); Cancelled.
  template <Real T>
  HeadTensors<T> load(Index layer, Index head, Index n = 0, const RunContext& context = {}) const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace convbasis
