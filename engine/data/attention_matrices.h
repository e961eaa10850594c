/// \file
/// Attention matrices in files: which tensors they are, whether they hold probabilities or scores, and reading them as scores.
#pragma once

#include "attention/head.h"
#include "core/run_context.h"
#include "data/tensor_file.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace convbasis {

/// What the entries of an attention matrix are.
enum class AttentionKind { probabilities, scores };
std::string_view name_of(AttentionKind kind);
/// Nothing unless `name` is "probabilities" or "scores".
std::optional<AttentionKind> attention_kind(std::string_view name);

/// One tensor of attention matrices of n x n: one head, all heads of a layer, or of all layers.
struct AttentionTensor {
  const TensorFile* file = nullptr;
  const TensorInfo* tensor = nullptr;
  std::optional<Index> layer;  ///< as the name says
  std::string reason = {};     ///< half a sentence: why the tensor was taken
  Index layers = 1;            ///< above 1 only where the layers are an axis
  Index heads = 1;
  Index size = 0;           ///< n
  std::string layout = {};  ///< "nn", "hnn", "1hnn" or "lhnn"

  /// Where one head's matrix lies.
  PayloadMatrix place(Index layer_in_tensor, Index head) const;
};

/// Whether a tensor could be attention matrices by type and shape: floating, 2 to 4 axes, the last two equal, at least 2.
bool is_square(const TensorInfo& tensor);

/// The tensors of attention matrices in the files: the one named (`name`, which may hold "{L}"), else those whose names say so
/// (attention, attn, scores, probs, weights, ...), else the only square ones. None found: empty. Throws FileError when a
/// tensor of that name does not exist or is no stack of square matrices, when several sets could be meant, or for n above 16384.
std::vector<AttentionTensor> find_attention(const std::vector<std::unique_ptr<TensorFile>>& files,
                                            const std::optional<std::string>& name);

/// Reads a few rows: probabilities lie in [0, 1] and sum to 1 (within 2 in 100, as bfloat16 rounds) or, where nothing is attended
/// to, to 0. `settled` overrides. Sets why, half a sentence. Throws FileError for probabilities that are not causal; Cancelled.
AttentionKind tell_kind(const AttentionTensor& attention, std::optional<AttentionKind> settled, std::string& why,
                        const RunContext& context = {});

/// The scores of one head, read from the file on demand: the logarithm of probabilities, or scores as they are; 0 and minus
/// infinity become masked_score. read() throws FileError for NaN, plus infinity and probabilities outside [0, 1.02], on or below
/// the diagonal. Needs memory for the tile only. `owner` keeps the file open.
template <Real T>
std::shared_ptr<const ScoreMatrix<T>> open_scores(std::shared_ptr<const void> owner, const AttentionTensor& attention,
                                                  Index layer_in_tensor, Index head, AttentionKind kind);

}  // namespace convbasis
