#include "state/head_gradients.h"

#include "core/errors.h"
#include "state/accelerator_record.h"

#include <algorithm>
#include <concepts>
#include <memory>
#include <utility>

namespace convscope {

namespace {

/// The first n tokens. Throws InvalidArgument for a head that is given by its scores.
template <convbasis::Real T>
convbasis::HeadTensors<T> first_tokens(const convbasis::HeadTensors<float>& tensors, Index n) {
  if (tensors.matrix) {
    throw convbasis::InvalidArgument("this head is given by its scores and has no queries and keys to take gradients by");
  }
  const convbasis::HeadView<float> head = tensors.view(n);
  convbasis::HeadTensors<T> result;
  result.query = head.query.cast<T>();
  result.key = head.key.cast<T>();
  result.value = head.value.cast<T>();
  result.scale = head.scale;
  result.bias.assign(head.bias.begin(), head.bias.end());
  return result;
}

template <convbasis::Real T>
convbasis::GradientComparison<double> in_double(convbasis::GradientComparison<T> comparison) {
  if constexpr (std::same_as<T, double>) {
    return comparison;
  } else {
    convbasis::GradientComparison<double> wide;
    wide.output_gradient = comparison.output_gradient.template cast<double>();
    wide.k_found = comparison.k_found;
    wide.starts = std::move(comparison.starts);
    for (const auto& way : comparison.ways) {
      wide.ways.push_back({way.backward, way.query.template cast<double>(), way.key.template cast<double>(),
                           way.value.template cast<double>(), way.query_error, way.key_error, way.value_error,
                           way.forward_seconds, way.backward_seconds});
    }
    return wide;
  }
}

}  // namespace

void HeadGradients::want(std::shared_ptr<const Analysis> analysis, const AnalysisRequest& request, std::uint64_t seed,
                         Precision precision, const ChosenDevice& device) {
  analysis_ = std::move(analysis);
  const Index n = analysis_ ? std::min(analysis_->n, token_limit) : 0;
  const bool waits = precision == Precision::f32 && !device.known_for(n);
  if (!analysis_ || waits) return job_.want({});
  job_.want(Key{.source = request.source,
                .layer = request.layer,
                .head = request.head,
                .n = n,
                .recover = request.options(),
                .seed = seed,
                .precision = precision,
                .accelerator = accelerator_for(precision, n, device)});
}

template <convbasis::Real T>
HeadComparison HeadGradients::compare(const Analysis& analysis, const Key& key, const convbasis::RunContext& context) {
  const auto record = key.accelerator ? std::make_unique<const AcceleratorRecord>(key.accelerator) : nullptr;
  convbasis::RunContext with_device = context;
  with_device.accelerator = record.get();
  const convbasis::HeadTensors<T> head = first_tokens<T>(*analysis.tensors, key.n);
  convbasis::RecoverOptions options = key.recover;
  options.k = std::clamp<Index>(options.k, 1, key.n);  // of a fit it may be 0
  options.T = std::min(options.T, key.n);
  const auto gradient = convbasis::random_output_gradient<T>(key.n, head.value.cols(), key.seed);
  HeadComparison result{in_double(
      convbasis::compare_gradients<T>(head.view(), options, convbasis::view(gradient), convbasis::all_backwards, with_device))};
  if (record && record->did_anything()) result.device = record->name();
  return result;
}

void HeadGradients::poll() {
  job_.poll([this](const Key& wanted) {
    return [analysis = analysis_, key = wanted](const convbasis::RunContext& context) {
      return key.precision == Precision::f32 ? compare<float>(*analysis, key, context) : compare<double>(*analysis, key, context);
    };
  });
}

}  // namespace convscope
