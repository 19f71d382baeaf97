"""What the CUDA libraries export that is no recorded operation, and why. A name that is neither caught nor here fails test_cuda_libraries.py."""
import re

# library: [(why, pattern of whole names)]
NOT_AN_OPERATION = {
    "libcublas": [
        ("the library's state, logging and versions", r"cublas(Xt)?(Create|Destroy|Init|Shutdown|Alloc|Free|Xerbla|Get|Set|Logger|DeviceSelect|MaxBoards).*"),
        ("level 1: a vector or two, no product", r"cublas[SDCZ][sdcz]?(asum|axpy|copy|dot[cu]?|nrm2|rot|rotg|rotm|rotmg|scal|swap)(_v2)?(_64)?"),
        ("level 1 in mixed types", r"cublas(Asum|Axpy|Copy|Dotc?|I?am(ax|in)|Iam(ax|in)|Nrm2|Rot[mg]*|Scal|Swap)Ex(_64)?"),
        ("level 1: the place of the greatest or least", r"cublasI[sdcz]am(ax|in)(_v2)?(_64)?"),
        ("a matrix scaled by a diagonal, added, unpacked or packed", r"cublas[SDCZ](dgmm|geam|tpttr|trttp)(_64)?"),
        ("factorisations and what is solved by them: as LAPACK's on a CPU, their kernels are recorded by name", r"cublas[SDCZ](gels|geqrf|getrf|getri|getrs|matinv)Batched"),
        ("in no header of CUDA 11 to 13", r"cublas[SDCZ]bdmm"),
    ],
    "libcublasLt": [
        ("descriptors, preferences, logging, versions", r"cublasLt(Create|Destroy|Get|Set|Logger|CtxInit|ShutdownCtx|ClearNvjetCache|Emulation|MatmulDesc|MatmulPreference|MatrixLayout|"
                                                        r"MatrixTransformDesc|GroupedMatrixLayout).*"),
        ("algorithms and heuristics: nothing is computed", r"cublasLt([A-Z]{3})?(MatmulAlgo|AlgoCharacteristic|Heuristics?(Cache|Lut)).*"),
        ("a matrix in another order, scaled: no product", r"cublasLtMatrixTransform"),
        ("in no header: libcublas's own way to libcublasLt, inside calls that are recorded", r"cublasLt([A-Z]{3}Matmul|LegacyGemm[A-Z]{3}|_for_cublas_[A-Z]{3})"),
    ],
    "libcudnn": [
        ("descriptors, the library's state, versions", r"cudnn(Create|Destroy|Get|Set(?!Tensor$)|Derive|Restore|Query|.*VersionCheck|Dropout(GetReserveSpaceSize|GetStatesSize)|LongFFTCausalConv1dGetBufferSizes).*"),
        ("graphs in the making: no work", r"cudnnBackend(Finalize|Initialize|UpdateCudaGraph)"),
        ("plans of fused operations and recurrent networks in the making", r"cudnn(MakeFusedOpsPlan|BuildRNNDynamic|InitTransformDest|RNN[GS]etClip_v[89])"),
        ("weights put into another order, once", r"cudnnReorderFilterAndBias"),
        ("an operand of a product written down: no product", r"cudnnIm2Col"),
        ("a loss of training: no product", r"cudnnCTCLoss(_v8)?"),
        ("sampling grids: a few elements a point", r"cudnnSpatialTf(GridGenerator(Forward|Backward)|SamplerBackward)"),
    ],
    "libcusparseLt": [
        ("descriptors, the library's state, versions", r"cusparseLt(Init|Destroy|Get.*|MatDescGetAttribute|MatmulAlg.*|MatmulDesc[GS]etAttribute|MatmulGetWorkspace)"),
        ("weights pruned, checked and compressed, once", r"cusparseLtSpMMA(Prune(2|Check2?)?|Compress(edSize)?2?)"),
    ],
}


def reason(library, name):
    """Why `name` of `library` is no recorded operation; None when there is no reason."""
    for why, pattern in NOT_AN_OPERATION[library]:
        if re.fullmatch(pattern, name):
            return why
    return None
