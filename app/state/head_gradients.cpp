#include "state/head_gradients.h"

#include "core/errors.h"

#include <algorithm>
#include <utility>

namespace convscope {

namespace {

/// The first n tokens in double. Throws InvalidArgument for a head that is given by its scores.
convbasis::HeadTensors<double> in_double(const convbasis::HeadTensors<float>& tensors, Index n) {
  if (tensors.matrix) {
    throw convbasis::InvalidArgument("this head is given by its scores and has no queries and keys to take gradients by");
  }
  const convbasis::HeadView<float> head = tensors.view(n);
  convbasis::HeadTensors<double> wide;
  wide.query = head.query.cast<double>();
  wide.key = head.key.cast<double>();
  wide.value = head.value.cast<double>();
  wide.scale = head.scale;
  wide.bias.assign(head.bias.begin(), head.bias.end());
  return wide;
}

}  // namespace

void HeadGradients::want(std::shared_ptr<const Analysis> analysis, const AnalysisRequest& request, std::uint64_t seed) {
  analysis_ = std::move(analysis);
  if (!analysis_) return job_.want({});
  job_.want(Key{.source = request.source,
                .layer = request.layer,
                .head = request.head,
                .n = std::min(analysis_->n, token_limit),
                .recover = request.options(),
                .seed = seed});
}

void HeadGradients::poll() {
  job_.poll([this](const Key& wanted) {
    return [analysis = analysis_, key = wanted](const convbasis::RunContext& context) {
      const convbasis::HeadTensors<double> head = in_double(*analysis->tensors, key.n);
      convbasis::RecoverOptions options = key.recover;
      options.k = std::clamp<Index>(options.k, 1, key.n);  // of a fit it may be 0
      options.T = std::min(options.T, key.n);
      const auto gradient = convbasis::random_output_gradient<double>(key.n, head.value.cols(), key.seed);
      return convbasis::compare_gradients<double>(head.view(), options, convbasis::view(gradient), convbasis::all_backwards,
                                                  context);
    };
  });
}

}  // namespace convscope
