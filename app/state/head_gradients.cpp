#include "state/head_gradients.h"

#include <algorithm>
#include <utility>

namespace convscope {

void HeadGradients::want(std::shared_ptr<const Analysis> analysis, const AnalysisRequest& request, std::uint64_t seed) {
  analysis_ = std::move(analysis);
  wanted_.reset();
  if (!analysis_) return;
  wanted_ = {.source = request.source,
             .layer = request.layer,
             .head = request.head,
             .n = std::min(analysis_->n, token_limit),
             .recover = request.options(),
             .seed = seed};
}

void HeadGradients::show(bool shown) {
  if (shown_ == shown) return;
  shown_ = shown;
  if (!shown && job_.busy()) {
    job_.cancel();
    asked_.reset();
  }
}

void HeadGradients::poll() {
  if (auto made = job_.take()) {
    comparison_ = std::make_shared<const Comparison>(std::move(*made));
    made_of_ = asked_;
  }
  if (!shown_ || !wanted_ || wanted_ == asked_) return;
  asked_ = wanted_;
  if (wanted_ == made_of_) {
    job_.cancel();  // back to what is there already
    return;
  }
  job_.start([analysis = analysis_, key = *wanted_](const convbasis::RunContext& context) {
    const convbasis::HeadView<float> head = analysis->tensors->view(key.n);
    convbasis::RecoverOptions options = key.recover;
    options.k = std::clamp<Index>(options.k, 1, key.n);  // of a fit it may be 0
    options.T = std::min(options.T, key.n);
    const convbasis::Matrix<float> gradient = convbasis::random_output_gradient<float>(key.n, head.value_width(), key.seed);
    return convbasis::compare_gradients<float>(head, options, convbasis::view(gradient), convbasis::all_backwards, context);
  });
}

}  // namespace convscope
